"""Play a bag to stereo_node with `ros2 bag play`, in the bag's own time; every argument of stereo.launch.py works too.

Needs ros2bag. Without a ROS installation, `stereo-dp replay` measures the node on a bag.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

ARGUMENTS = {
    "bag": (None, "Folder or file of the bag."),
    "rate": ("1.0", "How many times as fast as it was recorded."),
    "loop": ("false", "true: start over at the end; else everything ends with the bag."),
}


def generate_launch_description() -> LaunchDescription:
    """Return the node, with its time taken from the bag, and the player."""
    stereo = PythonLaunchDescriptionSource(str(Path(__file__).resolve().parent / "stereo.launch.py"))
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=play),  # first: an argument that it refuses must not leave a node behind
            IncludeLaunchDescription(stereo, launch_arguments={"use_sim_time": "true"}.items()),
        ]
    )


def play(context: LaunchContext) -> list[ExecuteProcess | RegisterEventHandler]:
    """Return the player, and what ends the launch with it."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if value["loop"].lower() not in ("true", "false"):
        raise RuntimeError(f"launch argument loop: found {value['loop']!r}, expected true or false")
    loop = ["--loop"] if value["loop"].lower() == "true" else []
    # The delay is for the model to be loaded and the inputs to be subscribed to.
    command = ["ros2", "bag", "play", value["bag"], "--clock", "--rate", value["rate"], "--delay", "5.0", *loop]
    player = ExecuteProcess(cmd=command, output="screen")
    ended = OnProcessExit(target_action=player, on_exit=[Shutdown(reason="the bag has ended")])
    return [player, RegisterEventHandler(ended)]
