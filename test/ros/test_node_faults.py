"""Bad input on real DDS: one line that names the topic, the node stays up, and works again afterwards."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from ros_rig import Rig
from ros_scene import FunctionEstimator, PlaneScene, plane_estimator
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.ros.conversions import image_message
from stereo_dp_ros.ros.node import StereoNode


def counts(node: StereoNode) -> tuple[int, int, dict[str, int]]:
    run = node.active_run
    assert run is not None
    return run.counts.snapshot()


def assert_closed(rig: Rig, node: StereoNode) -> None:
    """Every message of each side, and every pair, is accounted for."""
    run = node.active_run
    assert run is not None
    rig.until(lambda: counts(node)[0] == counts(node)[1] + sum(counts(node)[2].values()), "no pair is in flight")
    synchronizer = run.synchronizer
    for side in (0, 1):
        accounted = synchronizer.matched + synchronizer.unmatched[side] + synchronizer.waiting[side]
        assert synchronizer.received[side] == accounted
    assert synchronizer.matched == counts(node)[0]


def assert_recovers(rig: Rig, node: StereoNode, scene: PlaneScene | None = None) -> None:
    """A good pair comes out, and diagnostics turn OK."""
    before = len(rig.received["disparity"])
    rig.publish_scene(scene)
    rig.last("disparity", before + 1)
    for _ in range(100):
        rig.publish_scene(scene)
        rig.pause(0.1)
        if rig.diagnostics[-1].level == DiagnosticStatus.OK:
            break
    assert rig.diagnostics[-1].level == DiagnosticStatus.OK, rig.describe()
    assert rig.diagnostics[-1].message == "pairs are processed"
    assert_closed(rig, node)


Change = Callable[[Any, Any], None]


def set_both(**fields: Any) -> Change:
    def change(left: Any, right: Any) -> None:
        for message in (left, right):
            for name, value in fields.items():
                setattr(message, name, value)

    return change


def set_right(**fields: Any) -> Change:
    def change(_: Any, right: Any) -> None:
        for name, value in fields.items():
            setattr(right, name, value)

    return change


def crop_right(_: Any, right: Image) -> None:
    right.height = 95
    right.data = right.data[: 95 * right.step]


def cut_right(_: Any, right: Image) -> None:
    right.data = right.data[:-1]


def zero_size(left: Image, right: Image) -> None:
    for message in (left, right):
        message.width = message.height = message.step = 0
        message.data = message.data[:0]


BAD_IMAGES: dict[str, tuple[Change, list[str]]] = {
    "size differs": (
        crop_right,
        ["/left/image_rect is 160x96 rgb8", "/right/image_rect is 160x95", "expected the same"],
    ),
    "encoding differs": (
        set_right(encoding="bgr8"),
        ["160x96 rgb8", "/right/image_rect is 160x96 bgr8", "same size and"],
    ),
    "unknown encoding": (
        set_both(encoding="yuv422"),
        ["/left/image_rect: encoding is 'yuv422'", "expected one of 8UC1, 8UC3, bayer_bggr8"],
    ),
    "data too short": (cut_right, ["/right/image_rect: data has 46079 bytes", "expected at least 46080"]),
    "step too short": (set_right(step=479), ["/right/image_rect: step is 479", "expected at least 480"]),
    "no pixels": (zero_size, ["/left/image_rect: image is 0x0", "expected at least 1x1"]),
}


@pytest.mark.parametrize(("change", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_bad_images(rig: Rig, capfd: pytest.CaptureFixture[str], change: Change, words: list[str]) -> None:
    node = rig.start()
    rig.connect()
    for _ in range(3):
        left, right = PlaneScene().messages("rgb8", rig.header())
        change(left, right)
        rig.publish(left_image_rect=left, right_image_rect=right)
        rig.pause(0.05)
    status = rig.fault(words[0])
    assert status.level == DiagnosticStatus.ERROR
    assert all(word in status.message for word in words), status.message
    matched, published, dropped = counts(node)
    assert (matched, published) == (3, 0)
    assert dropped["bad_image"] + dropped.get("superseded", 0) == 3
    assert_recovers(rig, node)
    logged = [line for line in capfd.readouterr().err.splitlines() if words[0] in line]
    assert len(logged) == 1, "three of a kind are one line"


def scale_p(left: Any, right: Any) -> None:
    left.p = right.p = np.zeros(12)


def no_baseline(_: Any, right: Any) -> None:
    right.p[3] = 0.0


def positive_baseline(_: Any, right: Any) -> None:
    right.p[3] = 40.0


def half_size(left: Any, right: Any) -> None:
    for info in (left, right):
        info.binning_x = info.binning_y = 2


def window(left: Any, right: Any) -> None:
    for info in (left, right):
        info.roi.x_offset, info.roi.width, info.roi.height = 16, 128, 96


BAD_CAMERA_INFOS: dict[str, tuple[Change, list[str]]] = {
    "P all zero": (scale_p, ["/left/camera_info: P is all zeros", "expected a rectified projection"]),
    "no baseline": (no_baseline, ["/right/camera_info: the pair has no baseline", "expected"]),
    "positive P[3]": (positive_baseline, ["/right/camera_info: P[3] is 0 left and 40 right", "expected", "swapped"]),
    "size after binning": (half_size, ["/left/camera_info: is for images of 80x48", "expected 160x96"]),
    "size after roi": (window, ["/left/camera_info: is for images of 128x96", "expected 160x96"]),
}


@pytest.mark.parametrize(("change", "words"), BAD_CAMERA_INFOS.values(), ids=BAD_CAMERA_INFOS.keys())
def test_bad_camera_info(rig: Rig, capfd: pytest.CaptureFixture[str], change: Change, words: list[str]) -> None:
    node = rig.start()
    rig.advertise()
    rig.subscribe("disparity")
    left, right = PlaneScene().camera_infos()
    change(left, right)
    rig.publish(left_camera_info=left, right_camera_info=right)
    rig.pause(0.1)
    for _ in range(3):
        rig.publish_scene()
        rig.pause(0.05)
    status = rig.fault(words[0])
    assert status.level == DiagnosticStatus.ERROR
    assert all(word in status.message for word in words), status.message
    assert counts(node)[1] == 0
    rig.publish_infos()
    rig.pause(0.1)
    assert_recovers(rig, node)
    logged = [line for line in capfd.readouterr().err.splitlines() if words[0] in line]
    assert len(logged) == 1, "three of a kind are one line"


def test_camera_info_changes_while_running(rig: Rig) -> None:
    """Another calibration, and another resolution, each from the next pair on."""
    node = rig.start(plane_estimator(20.0))
    rig.connect()
    rig.publish_scene()
    assert rig.last("disparity").f == 200.0
    zoomed = PlaneScene(fx_px=400.0, baseline_m=0.1)
    rig.publish_infos(zoomed)
    rig.pause(0.1)
    rig.publish_scene(zoomed)
    assert (rig.last("disparity", 2).f, rig.last("disparity").t) == (400.0, np.float32(0.1))
    small = PlaneScene(width_px=128, height_px=64)
    rig.publish_infos(small)
    rig.pause(0.1)
    rig.publish_scene(small)
    message = rig.last("disparity", 3)
    assert (message.image.width, message.image.height, message.f) == (128, 64, 200.0)
    rig.publish_scene(zoomed)  # the camera_info of its size came before, and still counts
    assert rig.last("disparity", 4).f == 400.0
    assert counts(node)[1] == 4
    assert_closed(rig, node)


def test_camera_info_is_missing_then_latched(rig: Rig) -> None:
    node = rig.start()
    rig.advertise(("left/image_rect", "right/image_rect"))
    rig.subscribe("disparity")
    rig.publish_scene()
    rig.until(lambda: counts(node)[2] == {"no_camera_info": 1}, "the pair is dropped")
    line = "/left/camera_info: nobody publishes this topic, expected sensor_msgs/msg/CameraInfo"
    assert rig.fault(line, rig.publish_scene).level == DiagnosticStatus.ERROR
    dropped = counts(node)[2]["no_camera_info"]
    topics = ("left/camera_info", "right/camera_info")
    rig.advertise(topics, durability=DurabilityPolicy.TRANSIENT_LOCAL, match=False)
    rig.publish_infos()  # before the node can have seen the publishers
    run = node.active_run
    assert run is not None
    rig.until(lambda: all(info.received for info in run.camera_infos), "latched camera_info has come")
    rig.publish_scene()
    rig.last("disparity")
    rig.publish_scene()
    rig.last("disparity", 2)
    assert counts(node)[1:] == (2, {"no_camera_info": dropped})


def test_one_camera_silent(rig: Rig) -> None:
    node = rig.start(queue_size=3)
    rig.connect()
    run = node.active_run
    assert run is not None
    left, _ = PlaneScene().messages("rgb8", Header())
    for _ in range(8):
        left.header = rig.header()
        rig.publish(left_image_rect=left)
    rig.until(lambda: run.synchronizer.received == [8, 0], "eight left images")
    assert run.synchronizer.unmatched == [5, 0]
    assert run.synchronizer.waiting == [3, 0]

    def keep_on() -> None:
        left.header = rig.header()
        rig.publish(left_image_rect=left)

    status = rig.fault("/right/image_rect: no message for", keep_on)
    assert status.level == DiagnosticStatus.ERROR
    assert_recovers(rig, node)


def test_nobody_publishes(rig: Rig) -> None:
    rig.start()
    status = rig.fault("/left/image_rect: nobody publishes this topic, expected sensor_msgs/msg/Image")
    assert status.level == DiagnosticStatus.WARN
    assert "remap" in status.message


def test_topic_of_another_type(rig: Rig) -> None:
    rig.start()
    rig.advertise(("left/image_rect",), message_type=CompressedImage, match=False)
    rig.fault("/left/image_rect: is of type sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image")


def test_stamps_that_are_zero(rig: Rig) -> None:
    node = rig.start()
    rig.connect()
    for _ in range(2):
        rig.publish_scene(stamp_s=0.0)
    rig.fault("image_rect: stamp is 0, expected the time of exposure")
    run = node.active_run
    assert run is not None
    assert (run.synchronizer.received, run.synchronizer.unmatched) == ([2, 2], [2, 2])
    assert counts(node) == (0, 0, {})
    assert_recovers(rig, node)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "expected equal stamps (set approximate_sync"),
        ({"approximate_sync": True, "sync_tolerance_s": 0.02}, "expected less than 20 ms (raise sync_tolerance_s)"),
    ],
    ids=["exact", "approximate"],
)
def test_stamps_too_far_apart(rig: Rig, parameters: dict[str, Any], expected: str) -> None:
    node = rig.start(**parameters)
    rig.connect()
    left, right = PlaneScene().messages("rgb8", Header())
    for index in range(30):
        left.header, right.header = rig.header(2000 + index * 0.1), rig.header(2000.03 + index * 0.1)
        rig.publish(left_image_rect=left, right_image_rect=right)
        rig.pause(0.05)
        if any("stamps differ" in status.message for status in rig.diagnostics):
            break
    status = rig.fault("stamps differ by -30.000 ms")
    assert expected in status.message
    assert "/left/image_rect and /right/image_rect" in status.message
    assert_recovers(rig, node)


def test_near_stamps_are_paired_when_asked_for(rig: Rig) -> None:
    rig.start(approximate_sync=True, sync_tolerance_s=0.02)
    rig.connect()
    left, right = PlaneScene().messages("rgb8", Header())
    left.header, right.header = rig.header(2000.0), rig.header(2000.019)
    rig.publish(left_image_rect=left, right_image_rect=right)
    assert rig.last("disparity").header == left.header


def test_clock_jumps_back(rig: Rig) -> None:
    """A bag that starts over loses nothing, though its first half waited for partners."""
    node = rig.start(queue_size=5)
    rig.connect()
    left, right = PlaneScene().messages("rgb8", Header())
    run = node.active_run
    assert run is not None
    for index in range(5):
        left.header = rig.header(3000.0 + index)
        rig.publish(left_image_rect=left)
    rig.until(lambda: run.synchronizer.waiting == [5, 0], "left images wait")
    for index in range(6):
        rig.publish_scene(stamp_s=100.0 + index * 0.1)
        rig.last("disparity", index + 1)
    assert run.synchronizer.unmatched == [5, 0]
    assert run.synchronizer.time_jumps == 1
    rig.fault("stamps jumped back to 100.000 s, pairing starts anew")
    assert_closed(rig, node)


def test_inference_that_fails_once_and_always(rig: Rig) -> None:
    failing = [True]

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        if failing[0]:
            raise RuntimeError("device lost\nat line 7")
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer))
    rig.connect()
    for count in range(1, 6):
        rig.publish_scene()
        rig.until(lambda: counts(node)[2].get("inference_failed") == count, "the pair is counted")  # noqa: B023
    status = rig.fault("inference failed: RuntimeError: device lost at line 7")
    assert status.level == DiagnosticStatus.ERROR
    failing[0] = False
    assert_recovers(rig, node)
    assert counts(node)[2].get("inference_failed") == 5


def test_publisher_offers_best_effort_then_reliable(rig: Rig) -> None:
    """The subscriptions follow the publishers, and come back when these restart."""
    node = rig.start()
    images = ("left/image_rect", "right/image_rect")
    rig.advertise(("left/camera_info", "right/camera_info"))
    rig.subscribe("disparity")
    rig.publish_infos()
    run = node.active_run
    assert run is not None
    offered = (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE) * 2
    for expected, reliability in enumerate(offered, 1):
        rig.advertise(images, reliability=reliability)
        name = reliability.name.lower()
        rig.until(lambda: all(image.reliability == name for image in run.images), f"subscribed {name}")  # noqa: B023
        rig.until(lambda: all(rig.publishers[topic].get_subscription_count() == 1 for topic in images), "matched")
        rig.publish_scene()
        rig.last("disparity", expected)
        rig.unadvertise(*images)
        rig.until(lambda: not any(image.publisher_count for image in run.images), "publishers are gone")


def test_fifty_restarts_of_the_camera(rig: Rig) -> None:
    """Each time the first pair after matching comes out."""
    node = rig.start()
    rig.connect()
    images = ("left/image_rect", "right/image_rect")
    for expected in range(1, 51):
        rig.publish_scene()
        rig.last("disparity", expected)
        rig.unadvertise(*images)
        rig.advertise(images)
    assert len(list(node.subscriptions)) == 4
    assert counts(node) == (50, 50, {})


def test_lost_messages_are_told_with_the_cure(rig: Rig) -> None:
    node = rig.start()
    rig.connect()
    run = node.active_run
    assert run is not None
    run.images[0]._on_lost(SimpleNamespace(total_count=7, total_count_change=3))  # as rclpy calls it
    status = rig.fault("/left/image_rect: 3 messages lost on the way (7 in all); give the publisher's process")
    assert status.level == DiagnosticStatus.WARN
    assert run.images[0].lost == 3
    assert_recovers(rig, node)


def test_reliability_that_does_not_fit(rig: Rig) -> None:
    """With a fixed reliability the incompatible publisher is told."""
    rig.start(input_reliability="reliable")
    rig.advertise(("left/image_rect",), reliability=ReliabilityPolicy.BEST_EFFORT, match=False)
    status = rig.fault("/left/image_rect: a publisher offers incompatible RELIABILITY, expected reliable")
    assert "set input_reliability to auto" in status.message
    rig.pause(1.0)
    assert "incompatible" in rig.diagnostics[-1].message, "it stays as long as that publisher"
    rig.unadvertise("left/image_rect")
    rig.until(lambda: "incompatible" not in rig.diagnostics[-1].message, "it is gone with that publisher")


def test_the_newest_pair_wins(rig: Rig) -> None:
    """Six pairs while one is inferred: the first and the last come out, the others are counted."""
    import threading

    release = threading.Event()

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        release.wait(20)
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer))
    rig.connect()
    headers = [rig.publish_scene()]
    rig.until(lambda: counts(node)[0] == 1, "the first pair")
    rig.pause(0.05)
    for count in range(2, 7):
        headers.append(rig.publish_scene())
        rig.until(lambda: counts(node)[0] == count, "the next pair")  # noqa: B023
    assert counts(node) == (6, 0, {"superseded": 4})
    release.set()
    rig.last("disparity", 2)
    assert [message.header for message in rig.received["disparity"]] == [headers[0], headers[5]]
    assert_closed(rig, node)
    assert counts(node) == (6, 2, {"superseded": 4})


def test_padded_rows_and_4k_images(rig: Rig) -> None:
    scene = PlaneScene(width_px=3840, height_px=2160)
    rig.start(plane_estimator(20.0, (96, 64)))
    rig.connect("depth/camera_info", scene=scene)
    header = rig.header()
    padded = np.zeros((2160, 3848, 3), np.uint8)
    message = image_message(padded, "rgb8", header)
    message.width = 3840
    rig.publish(left_image_rect=message, right_image_rect=message)
    assert rig.last("depth/camera_info").header == header


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images(rig: Rig, suffix: str) -> None:
    import cv2

    scene = PlaneScene()
    seen: list[np.ndarray] = []

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        seen.extend((left, right))
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer), image_transport="compressed")
    topics = ("left/image_rect/compressed", "right/image_rect/compressed")
    rig.advertise(topics, message_type=CompressedImage)
    rig.advertise(("left/camera_info", "right/camera_info"))
    rig.subscribe("disparity")
    rig.publish_infos()
    rig.pause(0.1)

    def publish(contents: list[bytes]) -> Header:
        header = rig.header()
        for topic, content in zip(topics, contents, strict=True):
            rig.publishers[topic].publish(CompressedImage(header=header, format="bgr8; png", data=content))
        return header

    images = scene.images()
    files = [cv2.imencode(suffix, image[..., ::-1])[1].tobytes() for image in images]
    publish([b"no image", files[1]])
    status = rig.fault("/left/image_rect/compressed: 8 bytes of format 'bgr8; png' cannot be decoded")
    assert status.level == DiagnosticStatus.ERROR
    header = publish(files)
    assert rig.last("disparity").header == header
    tolerance = 0 if suffix == ".png" else 90  # JPEG blurs noise
    assert np.abs(seen[0].astype(int) - images[0]).mean() <= tolerance
    if suffix == ".png":
        np.testing.assert_array_equal(seen[1], images[1])
    assert counts(node) == (2, 1, {"bad_image": 1})


def test_rate_limit_and_age(rig: Rig) -> None:
    from rclpy.parameter import Parameter

    node = rig.start(max_rate_hz=0.01)
    rig.connect()
    for count in range(1, 4):
        rig.publish_scene()
        rig.until(lambda: counts(node)[0] == count, "the pair")  # noqa: B023
    rig.last("disparity")
    assert counts(node) == (3, 1, {"rate_limit": 2})
    node.set_parameters([Parameter("max_rate_hz", value=0.0), Parameter("max_age_s", value=1e-9)])
    rig.publish_scene()
    rig.until(lambda: counts(node)[2] == {"rate_limit": 2, "too_old": 1}, "older than a nanosecond")
    assert_closed(rig, node)


def test_two_nodes_in_one_process(rig: Rig) -> None:
    """Namespaces keep two pairs apart; one's bad input leaves the other alone."""
    front = rig.start(plane_estimator(20.0), namespace="front")
    rear = rig.start(plane_estimator(20.0), namespace="rear", wait=False)
    rig.until(lambda: rear.active_run is not None, "the second node is active")
    topics = [
        f"{name}/{side}/{kind}"
        for name in ("front", "rear")
        for side in ("left", "right")
        for kind in ("image_rect", "camera_info")
    ]
    rig.advertise(topics)
    from stereo_msgs.msg import DisparityImage

    rig.user.create_subscription(DisparityImage, "rear/disparity", rig.received["rear"].append, 10)
    rig.until(lambda: rear.count_subscribers("disparity"), "the rear's disparity is subscribed to")
    header = rig.header()
    left, right = PlaneScene().messages("rgb8", header)
    left_info, right_info = PlaneScene().camera_infos()
    rig.publishers["rear/left/camera_info"].publish(left_info)
    rig.publishers["rear/right/camera_info"].publish(right_info)
    rig.publishers["front/left/image_rect"].publish(Image(header=header))
    rig.publishers["front/right/image_rect"].publish(Image(header=header))
    rig.pause(0.1)
    rig.publishers["rear/left/image_rect"].publish(left)
    rig.publishers["rear/right/image_rect"].publish(right)
    rig.until(lambda: rig.received["rear"], "the rear's disparity")
    assert rig.received["rear"][0].header == header
    assert counts(front) == (1, 0, {"no_subscribers": 1})
    rig.until(
        lambda: (
            {status.name for status in rig.diagnostics} == {"front/stereo_node: stereo", "rear/stereo_node: stereo"}
        ),
        "both report",
    )
