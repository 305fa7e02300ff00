"""What stereo.launch.py starts, where launch_ros is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

launch_ros = pytest.importorskip("launch_ros", reason="launch_ros is not installed")

LAUNCH = Path(__file__).resolve().parents[2] / "launch"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    for place in ("share_directory", "prefix"):
        monkeypatch.setattr(f"ament_index_python.packages.get_package_{place}", lambda _: str(tmp_path))
    return loaded("stereo.launch.py")


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.partition(".")[0], LAUNCH / name)
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


@pytest.mark.parametrize(
    ("arguments", "image"),
    [
        ({}, "left/image_rect"),
        ({"rectify": "true"}, "left/image_raw"),
        (
            {"left_namespace": "/camera/camera/infra1", "image": "image_rect_raw"},
            "/camera/camera/infra1/image_rect_raw",
        ),
    ],
)
def test_rviz_shows_the_image_that_the_node_takes(module: ModuleType, arguments: dict[str, str], image: str) -> None:
    node, rviz = started(module, rviz="true", rviz_frame="camera_infra1_optical_frame", **arguments)
    assert remapped(rviz) == {"left/image_rect": image}
    assert image in remapped(node).values()
    assert rviz._Node__arguments[2:] == ["-f", "camera_infra1_optical_frame"]


def test_voxel_filter_of_the_point_cloud_library(module: ModuleType) -> None:
    _, voxel = started(module, namespace="front", voxel_size_m="0.05")
    assert (voxel.node_package, voxel.node_executable) == ("pcl_ros", "filter_voxel_grid_node")
    assert voxel.node_name == "/front/stereo_node_voxel"
    assert remapped(voxel) == {"input": "points2", "output": "points2/voxel"}
    with pytest.raises(RuntimeError, match="launch argument voxel_size_m: found 'fine', expected a number"):
        started(module, voxel_size_m="fine")


def test_a_boolean_that_is_none(module: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="launch argument rectify: found 'maybe', expected true or false"):
        started(module, rectify="maybe")


@pytest.mark.parametrize(("argument", "package"), [("rviz", "rviz2"), ("voxel_size_m", "pcl_ros")])
def test_a_package_that_is_missing_is_told_before_anything_starts(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, argument: str, package: str
) -> None:
    def missing(name: str) -> str:
        raise module.PackageNotFoundError(name)

    monkeypatch.setattr(module, "get_package_prefix", missing)
    line = f"launch argument {argument}: package {package} is not installed, which it needs"
    with pytest.raises(RuntimeError, match=line):
        started(module, **{argument: "true" if argument == "rviz" else "0.1"})


@pytest.mark.parametrize(("loop", "options"), [("false", []), ("True", ["--loop"])])
def test_replay_plays_the_bag_with_its_clock(loop: str, options: list[str]) -> None:
    from launch import LaunchContext
    from launch.utilities import perform_substitutions

    context = LaunchContext()
    context.launch_configurations.update(bag="/data/drive.mcap", rate="2.0", loop=loop)
    player, _ = loaded("replay.launch.py").play(context)
    words = [perform_substitutions(context, list(word)) for word in player.cmd]
    assert words[:5] == ["ros2", "bag", "play", "/data/drive.mcap", "--clock"]
    assert words[5:] == ["--rate", "2.0", "--delay", "5.0", *options]


def test_replay_gives_the_node_the_bag_s_time(module: ModuleType) -> None:
    from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription

    entities = loaded("replay.launch.py").generate_launch_description().entities
    (included,) = (entity for entity in entities if isinstance(entity, IncludeLaunchDescription))
    assert dict(included.launch_arguments) == {"use_sim_time": "true"}
    source = included.launch_description_source.try_get_launch_description_without_context()
    declared = {entity.name for entity in source.entities if isinstance(entity, DeclareLaunchArgument)}
    assert declared == set(module.ARGUMENTS)
