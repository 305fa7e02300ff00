"""package.xml, setup.py, requirements and the documents say the same."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Keys that were looked up in rosdep's python.yaml, packages in the Humble and Jazzy distributions.
ROSDEP_KEYS = {
    "python3-catkin-pkg-modules", "python3-numpy", "python3-onnxruntime-pip", "python3-opencv",
    "python3-pytest", "python3-pytest-timeout", "python3-rosbags-pip", "python3-skimage", "python3-tqdm",
    "python3-yaml",
}  # fmt: skip
ROS_PACKAGES = {
    "ament_index_python", "builtin_interfaces", "cv_bridge", "diagnostic_msgs", "geometry_msgs", "launch",
    "launch_ros", "lifecycle_msgs", "message_filters", "rcl_interfaces", "rclpy", "sensor_msgs",
    "sensor_msgs_py", "std_msgs", "stereo_msgs",
}  # fmt: skip

# module: its requirement on PyPI, its key in package.xml (None: taken where it is, see package.xml's comment)
FOREIGN = {
    "cv2": ("opencv-python-headless", "python3-opencv"),
    "numpy": ("numpy", "python3-numpy"),
    "onnx": ("onnx", None),
    "onnxruntime": ("onnxruntime", "python3-onnxruntime-pip"),
    "openvino": ("openvino", None),
    "rosbags": ("rosbags", "python3-rosbags-pip"),
    "safetensors": ("safetensors", None),
    "skimage": ("scikit-image", "python3-skimage"),
    "torch": ("torch", None),
    "tqdm": ("tqdm", "python3-tqdm"),
    "yaml": ("PyYAML", "python3-yaml"),
}
# Not on PyPI, or not usable from there: only where ROS or NVIDIA's software is installed.
NOT_FROM_PYPI = {
    "ament_index_python",
    "cv_bridge",
    "launch",
    "launch_ros",
    "message_filters",
    "sensor_msgs_py",
}
NVIDIA = {"tensorrt", "torch2trt"}


def changelog_version(repository: Path) -> str:
    match = re.search(
        r"^## \[?(\d+\.\d+\.\d+)", (repository / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert match, "CHANGELOG.md has no heading with a version"
    return match.group(1)


def assigned_version(path: Path) -> str:
    """Value of `__version__ = "…"` or of a call's `version="…"`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
        if isinstance(node, ast.keyword) and node.arg == "version":
            return str(ast.literal_eval(node.value))
    raise AssertionError(f"{path} names no version")


def requirement_names(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {re.split(r"[\[<>=!~ ]", line)[0] for line in lines if line and not line.startswith("#")}


def runtime_modules(repository: Path) -> set[str]:
    """Foreign modules that the installed package imports anywhere."""
    found = set()
    for path in (repository / "stereo_dp_ros").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"stereo_dp_ros"}


@pytest.fixture(scope="module")
def manifest(repository: Path):
    package = pytest.importorskip("catkin_pkg.package")
    return package.parse_package(str(repository / "package.xml"))


def test_package_xml_is_valid(manifest) -> None:
    warnings: list[str] = []
    manifest.validate(warnings=warnings)
    assert warnings == []
    assert (manifest.name, manifest.package_format, manifest.licenses) == ("stereo_dp_ros", 3, ["Apache-2.0"])
    assert [export.content for export in manifest.exports if export.tagname == "build_type"] == ["ament_python"]


def test_package_xml_has_only_keys_that_rosdep_resolves(manifest) -> None:
    names = {dependency.name for dependency in manifest.exec_depends + manifest.test_depends}
    assert names <= ROSDEP_KEYS | ROS_PACKAGES
    assert manifest.build_depends == manifest.buildtool_depends == []


def test_rosdep_resolves_every_key(repository: Path) -> None:
    if shutil.which("rosdep") is None:
        pytest.skip("rosdep is not installed")
    run = subprocess.run(
        ["rosdep", "keys", "--from-paths", str(repository), "--ignore-src"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "rosdep update" in run.stderr or "rosdep init" in run.stderr:
        pytest.skip(f"rosdep has no database: {run.stderr.strip().splitlines()[-1:]}")
    assert run.returncode == 0, run.stderr
    resolved = subprocess.run(["rosdep", "resolve", *run.stdout.split()], capture_output=True, text=True, check=False)
    assert resolved.returncode == 0, resolved.stderr


def test_versions_agree(repository: Path, manifest) -> None:
    versions = {
        "package.xml": manifest.version,
        "setup.py": assigned_version(repository / "setup.py"),
        "stereo_dp_ros/__init__.py": assigned_version(repository / "stereo_dp_ros" / "__init__.py"),
        "CHANGELOG.md": changelog_version(repository),
    }
    assert len(set(versions.values())) == 1, versions


def test_every_imported_module_is_declared(repository: Path, manifest) -> None:
    declared = {dependency.name for dependency in manifest.exec_depends}
    requirements = {
        name
        for file in ("runtime", "demo", "ros-wheels", "torch", "test")
        for name in requirement_names(repository / "requirements" / f"{file}.txt")
    }
    wrong = []
    for module in sorted(runtime_modules(repository) - NVIDIA):
        default = (None if module in NOT_FROM_PYPI else "ros-" + module.replace("_", "-"), module)
        requirement, key = FOREIGN.get(module, default)
        if requirement is not None and requirement not in requirements:
            wrong.append(f"{module}: {requirement} is in none of requirements/*.txt")
        if key is not None and key not in declared:
            wrong.append(f"{module}: {key} is not in package.xml")
    assert wrong == []


def test_every_requirement_has_its_reason(repository: Path) -> None:
    reasons = (repository / "docs" / "dependencies.md").read_text(encoding="utf-8")
    names = {name for path in (repository / "requirements").glob("*.txt") for name in requirement_names(path)}
    assert sorted(name for name in names if f"`{name}`" not in reasons) == []


def test_no_tracked_file_is_over_16_mib(repository: Path) -> None:
    listing = subprocess.run(
        ["git", "-C", str(repository), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip(f"not a git work tree: {listing.stderr.strip()}")
    paths = [repository / name for name in listing.stdout.split("\0") if name]
    sizes = {str(path.relative_to(repository)): path.stat().st_size for path in paths if path.is_file()}
    assert {name: size for name, size in sizes.items() if size > 16 * 2**20} == {}


def test_pyproject_leaves_the_install_to_setup_py(repository: Path) -> None:
    tables = re.findall(r"^\[+([^\]]+)\]", (repository / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert tables
    assert [table for table in tables if not table.startswith("tool.")] == []
