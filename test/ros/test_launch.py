"""What stereo.launch.py starts, where launch_ros is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

launch_ros = pytest.importorskip("launch_ros", reason="launch_ros is not installed")

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "stereo.launch.py"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setattr("ament_index_python.packages.get_package_share_directory", lambda _: str(tmp_path))
    spec = importlib.util.spec_from_file_location("stereo_launch", LAUNCH_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(module: ModuleType, **arguments: str) -> list[Any]:
    """The nodes that these arguments start."""
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    nodes = module.start(context)
    for node in nodes:
        node._perform_substitutions(context)
    return list(nodes)


def remapped(node: Any) -> dict[str, str]:
    return dict(node.expanded_remapping_rules)


def test_defaults(module: ModuleType) -> None:
    (node,) = started(module)
    assert node.node_executable == "stereo_node"
    assert node.node_name == "/stereo_node"
    assert remapped(node)["left/image_rect"] == "left/image_rect"
    assert len(node._Node__parameters) == 1, "only the parameter file, so that it is not overridden"


def test_topics_and_parameters(module: ModuleType) -> None:
    arguments = {"left_namespace": "infra1", "right_namespace": "infra2", "image": "image_rect_raw"}
    node, rviz = started(
        module, namespace="front", model="m.json", rectify="true", rviz="True", use_sim_time="true", **arguments
    )
    assert node.node_name == "/front/stereo_node"
    assert rviz.node_executable == "rviz2"
    rules = remapped(node)
    assert rules["left/image_rect"] == rules["left/image_raw"] == "infra1/image_rect_raw"
    assert rules["right/camera_info"] == "infra2/camera_info"
    assert len(node._Node__parameters) == 2


def test_a_boolean_that_is_none(module: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="launch argument rectify: found 'maybe', expected true or false"):
        started(module, rectify="maybe")
