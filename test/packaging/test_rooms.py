"""Imports go one way: cli → ros, replay → core ← backends, networks ← training."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "stereo_dp_ros"

# room: the rooms it may import from beside itself
ROOMS = {
    "core": set(),
    "networks": {"core"},
    "backends": {"core", "networks"},
    "ros": {"core", "backends"},
    "replay": {"core", "backends"},
    "cli": {"core", "backends", "ros", "replay"},
    "training": {"core", "backends", "networks"},
}

ROS = {
    "ament_index_python", "builtin_interfaces", "cv_bridge", "diagnostic_msgs", "geometry_msgs", "launch",
    "launch_ros", "lifecycle_msgs", "message_filters", "rcl_interfaces", "rclpy", "sensor_msgs",
    "sensor_msgs_py", "std_msgs", "stereo_msgs",
}  # fmt: skip
TORCH = {"torch", "safetensors", "torch_pruning", "lightning_fabric", "torch2trt", "tensorboard"}
TORCH_BACKEND = (
    "torch_backend", "torch_maps", "torch_stages", "deployed_network", "tensorrt_torch2trt", "workload",
)  # fmt: skip
RUNTIMES = {"onnxruntime", "openvino", "tensorrt"}

# group of foreign modules: the rooms, or single modules, that may import them
MAY_IMPORT = {
    "ROS": (ROS, {"ros", "replay/dds.py"}),  # dds.py: the process that plays a bag live and records the answers
    "torch": (TORCH, {"networks", "training", *(f"backends/{name}.py" for name in TORCH_BACKEND)}),
    "a runtime": (RUNTIMES, {"backends", "training"}),
    "Blender": ({"bpy", "mathutils"}, {"training"}),
}

BLOCKED = sorted(ROS | TORCH | RUNTIMES)
RUN_BLOCKED = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked!r} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", {folder!r}]))
"""


def room_folder(repository: Path, room: str) -> Path:
    return repository / room if room == "training" else repository / PACKAGE / room


def imports(path: Path, repository: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every module that a file imports, at its top or inside a function."""
    package = list(path.relative_to(repository).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def room_of(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] == PACKAGE:
        return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None
    return "training" if parts[0] == "training" else None


def sources(repository: Path, room: str) -> list[Path]:
    return sorted(room_folder(repository, room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_it_may(repository: Path, room: str) -> None:
    found = sources(repository, room)
    assert found, f"no source file in {room_folder(repository, room)}"
    wrong = [
        f"{path.relative_to(repository)}:{line} imports {name}"
        for path in found
        for line, name in imports(path, repository)
        if (other := room_of(name)) is not None and other != room and other not in ROOMS[room]
    ]
    assert wrong == []


@pytest.mark.parametrize("group", MAY_IMPORT)
def test_foreign_modules_stay_in_their_rooms(repository: Path, group: str) -> None:
    modules, allowed = MAY_IMPORT[group]
    wrong = [
        f"{path.relative_to(repository)}:{line} imports {name}"
        for room in ROOMS
        if room not in allowed
        for path in sources(repository, room)
        if f"{room}/{path.name}" not in allowed
        for line, name in imports(path, repository)
        if name.partition(".")[0] in modules
    ]
    assert wrong == []


def test_core_needs_numpy_and_opencv_alone(repository: Path) -> None:
    foreign = {
        name.partition(".")[0] for path in sources(repository, "core") for _, name in imports(path, repository)
    } - set(sys.stdlib_module_names)
    assert foreign == {"numpy", "cv2", PACKAGE}


def test_no_module_edits_the_module_search_path(repository: Path) -> None:
    wrong = [
        str(path.relative_to(repository))
        for room in ROOMS
        for path in sources(repository, room)
        if "sys.path" in path.read_text(encoding="utf-8")
    ]
    assert wrong == []


def test_core_passes_its_tests_without_ros_torch_and_runtimes(repository: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", RUN_BLOCKED.format(blocked=BLOCKED, folder="test/core")],
        cwd=repository,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
