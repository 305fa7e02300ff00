"""The console script in a process of its own: exit codes, signals, and one pair from another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_rig import Rig
from ros_scene import PlaneScene

COMMAND = [sys.executable, "-m", "stereo_dp_ros.ros.main"]

# The node's own process with a network of closed form: the console script, but for the estimator.
PLANE_NODE = """
import sys
sys.path.insert(0, {folder!r})
import ros_scene
import stereo_dp_ros.ros.node as node
estimator = ros_scene.plane_estimator(20.0)
node.StereoNode.__init__.__kwdefaults__["estimator_factory"] = lambda parameters: estimator
from stereo_dp_ros.ros.main import main
sys.exit(main())
"""


def environment(domain_id: int, tmp_path: Path, **changes: str) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "ROS_DOMAIN_ID": str(domain_id), "ROS_LOG_DIR": str(tmp_path), "PYTHONPATH": path, **changes}


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(domain_id: int, tmp_path: Path) -> Iterator[Start]:
    """Start a process in this test's domain; it is ended with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(command: list[str], **changes: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            env=environment(domain_id, tmp_path, **changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "changes", "words"),
    [
        ([], {"ROS_LOG_DIR": "/dev/null/log"}, ["log directory '/dev/null/log'"]),
        ([], {"ROS_DOMAIN_ID": "233"}, ["ROS_DOMAIN_ID: found 233, expected 0 to 232"]),
        ([], {"ROS_DOMAIN_ID": "one"}, ["ROS_DOMAIN_ID is not an integral number"]),
        (["--wrong"], {}, ["unexpected arguments --wrong; usage: stereo_node"]),
        (["--ros-args", "--params-file", "/no/such.yaml"], {}, ["/no/such.yaml"]),
        (["--ros-args", "-p", "queue_size:=0"], {}, ["queue_size", "Min: 1"]),
        (["--ros-args", "-p", "max_rate_hz:=ten"], {}, ["max_rate_hz", "STRING", "DOUBLE"]),
        (
            ["--ros-args", "-p", "depth_encoding:=float"],
            {},
            ["parameter depth_encoding: found 'float', expected one of"],
        ),
        (["--ros-args", "-p", "inference_width:=320"], {}, ["inference_width and inference_height: found 320 and 0"]),
    ],
)
def test_what_cannot_start_says_one_line(
    start: Start, arguments: list[str], changes: dict[str, str], words: list[str]
) -> None:
    process = start([*COMMAND, *arguments], **changes)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    lines = error.splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("stereo_node: ")
    assert all(word in lines[0] for word in words), error


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the node ended without saying {text!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(start: Start, rig: Rig, number: signal.Signals) -> None:
    process = start([sys.executable, "-c", PLANE_NODE.format(folder=str(Path(__file__).parent))])
    rig.until(lambda: rig.user.count_subscribers("left/image_rect"), "the node is active", timeout_s=30.0)
    process.send_signal(number)
    assert process.wait(timeout=30) == 0


# A process that gets a signal while it imports rclpy.
EARLY_SIGNAL = """
import os, signal, sys
class Hook:
    def find_spec(self, name, path, target=None):
        if name == "rclpy":
            os.kill(os.getpid(), signal.{number.name})
sys.meta_path.insert(0, Hook())
from stereo_dp_ros.ros.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_it_starts(start: Start, number: signal.Signals) -> None:
    process = start([sys.executable, "-c", EARLY_SIGNAL.format(number=number)])
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in error


def test_a_signal_ends_it_while_a_model_loads(start: Start) -> None:
    """Loading that never returns does not hold the process back, and its exit code is still 0."""
    slow = PLANE_NODE.replace("lambda parameters: estimator", "lambda parameters: load()").replace(
        "import ros_scene",
        "import ros_scene, threading\n"
        "def load():\n    sys.stderr.write('loading\\n'); sys.stderr.flush(); threading.Event().wait()",
    )
    process = start([sys.executable, "-c", slow.format(folder=str(Path(__file__).parent))])
    wait_for_line(process, "loading")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    "stuck",
    ["node.StereoNode.destroy_node = lambda self: sleep(1000)", "import atexit; atexit.register(sleep, 1000)"],
    ids=["in a native destructor", "at the interpreter's end"],
)
def test_a_signal_ends_it_whatever_is_stuck(start: Start, rig: Rig, stuck: str) -> None:
    """Even a native function that keeps the interpreter's lock for ever; the exit code is still 0."""
    code = PLANE_NODE.replace("import ros_scene\n", "import ctypes, ros_scene\nsleep = ctypes.PyDLL(None).sleep\n")
    code = code.replace("from stereo_dp_ros.ros.main", f"{stuck}\nfrom stereo_dp_ros.ros.main")
    process = start([sys.executable, "-c", code.format(folder=str(Path(__file__).parent))])
    rig.until(lambda: rig.user.count_subscribers("left/image_rect"), "the node is active", timeout_s=30.0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_a_node_without_a_model_stays_up(start: Start, rig: Rig) -> None:
    process = start([*COMMAND, "--ros-args", "-p", "model:=none_of_these", "-r", "__ns:=/front"])
    rig.until(lambda: rig.diagnostics, "the node reports", timeout_s=30.0)
    rig.fault("configure failed: no model is named 'none_of_these'")
    assert rig.diagnostics[-1].name == "front/stereo_node: stereo"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_a_callback_that_fails_is_told(start: Start, rig: Rig) -> None:
    """It ends neither the process nor the executor's thread."""
    broken = "import stereo_dp_ros.ros.inputs as inputs\ninputs.Input._on_message = lambda self, _: {}['a key']\n"
    code = PLANE_NODE.format(folder=str(Path(__file__).parent))
    code = code.replace("import ros_scene\n", f"import ros_scene\n{broken}")
    process = start([sys.executable, "-c", code])
    rig.until(lambda: rig.diagnostics, "the node reports", timeout_s=30.0)
    rig.advertise(("left/camera_info",))
    info, _ = PlaneScene().camera_infos()
    rig.fault("a callback failed: KeyError: 'a key'", lambda: rig.publish(left_camera_info=info))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_a_pair_from_another_process(start: Start, rig: Rig) -> None:
    """Remapped inputs, a parameter file of the repository's, and a whole image over shared memory."""
    config = Path(__file__).resolve().parents[2] / "config" / "stereo.yaml"
    remappings = [
        f"{side}/{name}:=camera/{side}/{name}" for side in ("left", "right") for name in ("image_rect", "camera_info")
    ]
    arguments = ["--ros-args", "--params-file", str(config), *(word for name in remappings for word in ("-r", name))]
    start([sys.executable, "-c", PLANE_NODE.format(folder=str(Path(__file__).parent)), *arguments])
    rig.until(lambda: rig.user.count_publishers("disparity"), "the node is configured", timeout_s=30.0)
    topics = [f"camera/{side}/{name}" for side in ("left", "right") for name in ("image_rect", "camera_info")]
    rig.advertise(topics)
    from stereo_msgs.msg import DisparityImage

    received: list[Any] = []
    rig.user.create_subscription(DisparityImage, "disparity", received.append, 10)
    scene = PlaneScene(width_px=640, height_px=480)
    left_info, right_info = scene.camera_infos()
    rig.publishers["camera/left/camera_info"].publish(left_info)
    rig.publishers["camera/right/camera_info"].publish(right_info)
    end = time.monotonic() + 30
    while not received and time.monotonic() < end:  # until the subscription is matched, pairs find no subscriber
        header = rig.header()
        left, right = scene.messages("bgr8", header)
        rig.publishers["camera/left/image_rect"].publish(left)
        rig.publishers["camera/right/image_rect"].publish(right)
        rig.pause(0.2)
    assert received, rig.describe()
    image = received[0].image
    assert (image.width, image.height) == (640, 480)
    np.testing.assert_allclose(np.frombuffer(image.data, np.float32), 20.0, rtol=1e-6)
