"""Start stereo_node for one stereo pair, and rviz2 where asked for.

Several pairs on one robot: include this file once per pair, each with its own `namespace`.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
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
    "rviz": ("false", "true: start rviz2 with this package's view."),
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
    if not to_boolean("rviz", value["rviz"]):
        return [node]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=value["namespace"],
        arguments=["-d", str(SHARE / "config" / "stereo.rviz")],
        parameters=[{"use_sim_time": bool(given.get("use_sim_time", False))}],
    )
    return [node, rviz]


def remappings(value: dict[str, str]) -> list[tuple[str, str]]:
    """Return what the node's input topics are called on this robot."""
    pairs = []
    for side in ("left", "right"):
        camera = value[f"{side}_namespace"]
        pairs.append((f"{side}/camera_info", f"{camera}/camera_info"))
        pairs += [(f"{side}/{name}", f"{camera}/{value['image'] or name}") for name in ("image_rect", "image_raw")]
    return pairs


def to_boolean(name: str, text: str) -> bool:
    """Return the boolean that an argument's text stands for."""
    if text.lower() not in ("true", "false"):
        raise RuntimeError(f"launch argument {name}: found {text!r}, expected true or false")
    return text.lower() == "true"
