"""Messages whose data are written into the bytes that go out: the same as rclpy's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from stereo_msgs.msg import DisparityImage

from stereo_dp_ros.ros import rcl
from stereo_dp_ros.ros.clouds import CloudPacker
from stereo_dp_ros.ros.conversions import depth_draft, disparity_draft, image_draft
from stereo_dp_ros.ros.large_messages import LargeMessage, LargePublisher, SpareMemory

VALUES = np.random.default_rng(5).uniform(1.0, 9.0, (3, 7)).astype(np.float32)


def absent() -> Any:
    raise ImportError("not here")


def drafts(header: Header) -> dict[str, tuple[type, LargeMessage]]:
    """One of each kind; the data of most are no multiple of CDR's alignment."""
    image = image_draft(VALUES.shape, np.float32, "32FC1", header, partial(np.copyto, src=VALUES))
    color = np.arange(45, dtype=np.uint8).reshape(3, 5, 3)
    disparity = disparity_draft(
        image,
        focal_px=400.5,
        baseline_m=0.125,
        min_disparity_px=0.0625,
        max_disparity_px=191.0,
        valid_window=(1, 2, 5, 6),
        delta_px=0.0625,
    )
    rays = (np.ones(7, np.float32), np.ones(3, np.float32))
    cloud = CloudPacker(absent).pack(VALUES, rays, None, "none", header)
    assert isinstance(cloud, LargeMessage)
    return {
        "disparity": (DisparityImage, disparity),
        "depth": (Image, depth_draft(VALUES, "16UC1", header)),
        "color": (Image, image_draft(color.shape, np.uint8, "bgr8", header, partial(np.copyto, src=color))),
        "points": (PointCloud2, cloud),
    }


@pytest.mark.parametrize("kind", ["disparity", "depth", "color", "points"])
@pytest.mark.parametrize("frame", ["", "left", "left_camera", "left_camera_optical_frame"])
def test_serialized_as_the_whole_message_is(kind: str, frame: str) -> None:
    message_type, draft = drafts(Header(frame_id=frame))[kind]
    before, after = draft.around_data()
    data = np.empty(draft.data_bytes, np.uint8)
    draft.write_to(data)
    serialized = before + data.tobytes() + after
    whole = draft.whole()
    assert deserialize_message(serialized, message_type) == whole
    assert len(serialized) == len(serialize_message(whole)), "the bytes between fields may be anything"


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("large_messages", context=context, enable_rosout=False)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def received(node: Node, message_type: type, draft: LargeMessage) -> Any:
    """What a subscriber gets when the draft is published twice: the second."""
    messages: list[Any] = []
    subscription = node.create_subscription(message_type, "large", messages.append, 5)
    publisher = node.create_publisher(message_type, "large", 5)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    large = LargePublisher(publisher, SpareMemory())
    deadline = time.monotonic() + 20.0
    try:
        while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
            executor.spin_once(0.05)
        large.publish(draft)
        large.publish(draft)
        while len(messages) < 2 and time.monotonic() < deadline:
            executor.spin_once(0.05)
    finally:
        executor.remove_node(node)
        node.destroy_subscription(subscription)
        node.destroy_publisher(publisher)
    assert len(messages) == 2
    return messages[1]


@pytest.mark.parametrize("kind", ["disparity", "depth", "color", "points"])
def test_a_subscriber_gets_the_whole_message(node: Node, kind: str) -> None:
    assert rcl._rcl_publish is not None, "this rclpy is linked with rcl"
    message_type, draft = drafts(Header(frame_id="left"))[kind]
    assert received(node, message_type, draft) == draft.whole()


@pytest.mark.parametrize("found", [None, lambda *_: 1])
def test_where_rcl_is_not_reached_rclpy_publishes(node: Node, monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    """rclpy without that function, or one that fails: the message goes out nonetheless."""
    monkeypatch.setattr(rcl, "_rcl_publish", found)
    message_type, draft = drafts(Header(frame_id="left"))["disparity"]
    assert received(node, message_type, draft) == draft.whole()


def test_a_function_that_no_library_has() -> None:
    assert rcl._find("rcl_publish_by_carrier_pigeon") is None


def test_spare_memory_is_used_again_and_grows_with_what_is_asked_for() -> None:
    spare = SpareMemory()
    with spare.borrow(100) as first, spare.borrow(100) as second:
        assert first.nbytes == second.nbytes == 100
        assert not np.shares_memory(first, second), "two threads at a time"
    with spare.borrow(60) as smaller:
        assert smaller.nbytes == 60
        assert np.shares_memory(smaller, first), "given back last"
    with spare.borrow(200) as larger:
        assert larger.nbytes == 200
    with spare.borrow(150) as again:
        assert np.shares_memory(again, larger)
