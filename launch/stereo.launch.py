"""Start stereo_node for one stereo pair, and rviz2 where asked for.

Several pairs on one robot: include this file once per pair, each with its own `namespace`.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from stereo_dp_ros.ros.dds_profile import dds_environment

SHARE = Path(get_package_share_directory("stereo_dp_ros"))

# Parameters of the node that have an argument of their own; an empty one leaves params_file's value alone.
PARAMETERS = {
    "model": "Name of a shipped model, or path of a model's manifest.",
    "backend": "Runtime of the network; auto takes the fastest that is installed.",
    "rectify": "true: subscribe to image_raw and rectify both images from their camera_info.",
    "approximate_sync": "true: pair images whose stamps are near, not only equal ones.",
    "use_sim_time": "true: take the time from /clock, as when a bag is played.",
}
BOOLEANS = ("rectify", "approximate_sync", "use_sim_time")

ARGUMENTS = {
    "namespace": ("", "Namespace of the node, in which its topics are."),
    "node_name": ("stereo_node", "Name of the node."),
    "left_namespace": ("left", "Where the left camera's image and camera_info are."),
    "right_namespace": ("right", "Where the right camera's image and camera_info are."),
    "image": ("", "Name of the image topics, if it is neither image_rect nor, with rectify, image_raw."),
    "params_file": (str(SHARE / "config" / "stereo.yaml"), "Parameters of the node."),
    "voxel_size_m": ("0", "Above 0: start pcl_ros's voxel filter of this size on points2; it publishes points2/voxel."),
    "rviz": ("false", "true: start rviz2 with this package's view."),
    "rviz_frame": ("left_camera_optical_frame", "Frame of rviz2's view: the frame_id of the left images."),
    **{name: ("", f"{text} Empty: as in params_file.") for name, text in PARAMETERS.items()},
}


def generate_launch_description() -> LaunchDescription:
    """Return the node, the environment that lets large images through, and, where asked for, rviz2."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            *(SetEnvironmentVariable(name, value) for name, value in dds_environment().items()),
            OpaqueFunction(function=start),
        ]
    )


def start(context: LaunchContext) -> list[Node]:
    """Return the processes to start, once the arguments' values are known."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    given = {
        name: to_boolean(name, value[name]) if name in BOOLEANS else value[name] for name in PARAMETERS if value[name]
    }
    node = Node(
        package="stereo_dp_ros",
        executable="stereo_node",
        name=value["node_name"],
        namespace=value["namespace"],
        parameters=[value["params_file"], *([given] if given else [])],
        remappings=remappings(value),
        output="screen",
        emulate_tty=True,
    )
    nodes = [node]
    if (voxel_size_m := to_number("voxel_size_m", value["voxel_size_m"])) > 0.0:
        require_package("pcl_ros", "voxel_size_m")
        nodes.append(voxel_filter(value, voxel_size_m))
    if to_boolean("rviz", value["rviz"]):
        require_package("rviz2", "rviz")
        rviz = Node(
            package="rviz2",
            executable="rviz2",
            namespace=value["namespace"],
            arguments=["-d", str(SHARE / "config" / "stereo.rviz"), "-f", value["rviz_frame"]],
            parameters=[{"use_sim_time": bool(given.get("use_sim_time", False))}],
            remappings=shown_image(value, raw=bool(given.get("rectify", False))),
        )
        nodes.append(rviz)
    return nodes


def voxel_filter(value: dict[str, str], size_m: float) -> Node:
    """Return the Point Cloud Library's filter: one point, with the mean colour, per voxel that has any."""
    return Node(
        package="pcl_ros",
        executable="filter_voxel_grid_node",
        name=f"{value['node_name']}_voxel",
        namespace=value["namespace"],
        # An empty field name switches off its pass-through filter, which would cut everything beyond 1 m.
        parameters=[{"leaf_size": size_m, "min_points_per_voxel": 1, "filter_field_name": ""}],
        remappings=[("input", "points2"), ("output", "points2/voxel")],
    )


def remappings(value: dict[str, str]) -> list[tuple[str, str]]:
    """Return what the node's input topics are called on this robot."""
    pairs = []
    for side in ("left", "right"):
        camera = value[f"{side}_namespace"]
        pairs.append((f"{side}/camera_info", f"{camera}/camera_info"))
        pairs += [(f"{side}/{name}", f"{camera}/{value['image'] or name}") for name in ("image_rect", "image_raw")]
    return pairs


def shown_image(value: dict[str, str], *, raw: bool) -> list[tuple[str, str]]:
    """Return what the left image of rviz2's view is called on this robot: the one that the node takes."""
    return [
        ("left/image_rect", f"{value['left_namespace']}/{value['image'] or ('image_raw' if raw else 'image_rect')}")
    ]


def require_package(package: str, argument: str) -> None:
    """Raise here if it is not installed: later, launch would end and leave what it had started behind."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        raise RuntimeError(f"launch argument {argument}: package {package} is not installed, which it needs") from None


def to_boolean(name: str, text: str) -> bool:
    """Return the boolean that an argument's text stands for."""
    if text.lower() not in ("true", "false"):
        raise RuntimeError(f"launch argument {name}: found {text!r}, expected true or false")
    return text.lower() == "true"


def to_number(name: str, text: str) -> float:
    """Return the number that an argument's text stands for."""
    try:
        return float(text)
    except ValueError:
        raise RuntimeError(f"launch argument {name}: found {text!r}, expected a number") from None
