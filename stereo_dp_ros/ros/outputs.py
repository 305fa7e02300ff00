"""From a disparity map to the messages that somebody subscribes to."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from stereo_msgs.msg import DisparityImage

from stereo_dp_ros.core.geometry import pixel_rays
from stereo_dp_ros.core.images import colorize_disparity
from stereo_dp_ros.core.second_thread import SecondThread
from stereo_dp_ros.ros.clouds import CloudPacker
from stereo_dp_ros.ros.conversions import depth_draft, disparity_draft, image_draft
from stereo_dp_ros.ros.large_messages import LargeMessage, LargePublisher, SpareMemory
from stereo_dp_ros.ros.parameters import NodeParameters
from stereo_dp_ros.ros.qos import NO_PUBLISHER_EVENTS, output_profile
from stereo_dp_ros.ros.result import DISPARITY_STEP_PX, StereoResult, fill_into, filled, made

__all__ = ["OUTPUTS", "Outputs", "needed_maps"]


class Outputs:
    """The node's publishers. Only what is subscribed to is computed."""

    def __init__(self, node: Node, reliability: str, packer: CloudPacker) -> None:
        self._node = node
        self._packer = packer
        profile = output_profile(reliability)
        self._publishers: dict[str, Publisher] = {
            name: node.create_publisher(message_type, name, profile, event_callbacks=NO_PUBLISHER_EVENTS)
            for name, (message_type, _) in OUTPUTS.items()
        }
        memory = SpareMemory()
        self._large = {name: LargePublisher(publisher, memory) for name, publisher in self._publishers.items()}
        self._helper = SecondThread("outputs")

    @property
    def packer(self) -> CloudPacker:
        """What packs the clouds."""
        return self._packer

    def subscribed(self) -> list[str]:
        """Return the names of the outputs that somebody subscribes to, in the order to publish them."""
        return [name for name, publisher in self._publishers.items() if publisher.get_subscription_count() > 0]

    def unserved(self) -> dict[str, int]:
        """Return how many subscribers of each output's topic get nothing, as they ask for another type or quality."""
        counts = {publisher.topic_name: publisher.get_subscription_count() for publisher in self._publishers.values()}
        return {topic: max(0, self._node.count_subscribers(topic) - served) for topic, served in counts.items()}

    def publish(self, names: Sequence[str], result: StereoResult) -> None:
        """Make and publish these outputs in two threads, each taking the next when it is done with one."""
        waiting = deque(names)

        def take_all() -> None:
            while True:
                try:
                    name = waiting.popleft()
                except IndexError:
                    return
                self._publish(name, result)

        _ = result.answered  # computed once, for both threads
        helper = self._helper.submit(take_all) if len(names) > 1 else None
        try:
            take_all()
        finally:
            if helper is not None:
                helper.result()

    def _publish(self, name: str, result: StereoResult) -> None:
        message = OUTPUTS[name][1](result, self._packer)
        if isinstance(message, LargeMessage):
            self._large[name].publish(message)
        else:
            self._publishers[name].publish(message)

    def close(self) -> None:
        """Destroy the publishers."""
        self._helper.shutdown()
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()
        self._large.clear()


def _disparity(result: StereoResult, _: CloudPacker) -> LargeMessage:
    calibration = result.cameras.calibration
    height, width = shape = result.adjusted_px.shape
    no_answer = result.min_disparity_px - 1.0
    write = partial(fill_into, values=result.adjusted_px, kept=result.answered, fill=no_answer)
    return disparity_draft(
        image_draft(shape, np.float32, "32FC1", result.header, write),
        focal_px=calibration.fx_px,
        baseline_m=calibration.baseline_m,
        min_disparity_px=result.min_disparity_px,
        max_disparity_px=result.max_disparity_px,
        valid_window=(0, 0, width, height) if result.window is None else result.window.rectangle,
        delta_px=DISPARITY_STEP_PX,
    )


def _depth(result: StereoResult, _: CloudPacker) -> LargeMessage:
    return depth_draft(result.depth_m, result.parameters.depth_encoding, result.header)


def _depth_info(result: StereoResult, _: CloudPacker) -> CameraInfo:
    info = copy.copy(result.cameras.left)
    info.header = result.header
    return info


def _confidence(result: StereoResult, _: CloudPacker) -> LargeMessage:
    confidence = made(result.maps.confidence)
    write = partial(fill_into, values=confidence, kept=result.answered, fill=0.0)
    return image_draft(confidence.shape, np.float32, "32FC1", result.header, write)


def _points(result: StereoResult, packer: CloudPacker) -> LargeMessage | PointCloud2:
    every = slice(None, None, result.parameters.points_decimation)
    rays_x, rays_y = pixel_rays(result.cameras.calibration)
    return packer.pack(
        result.depth_m[every, every],
        (rays_x[every], rays_y[every]),
        result.left_image[every, every],
        result.parameters.points_color,
        result.header,
    )


def _color(result: StereoResult, _: CloudPacker) -> LargeMessage:
    def write(colors: NDArray[np.uint8]) -> None:
        adjusted = filled(result.adjusted_px, result.answered, np.nan)
        colorize_disparity(adjusted, result.min_disparity_px, result.max_disparity_px, colors)

    return image_draft((*result.answered.shape, 3), np.uint8, "bgr8", result.header, write)


# output -> message type and what makes its message, as they are taken; the cloud is half of all bytes
OUTPUTS: dict[str, tuple[type, Callable[[StereoResult, CloudPacker], Any]]] = {
    "disparity": (DisparityImage, _disparity),
    "points2": (PointCloud2, _points),
    "depth/image_rect": (Image, _depth),
    "depth/camera_info": (CameraInfo, _depth_info),
    "confidence": (Image, _confidence),
    "disparity/color": (Image, _color),
}


def needed_maps(names: Collection[str], parameters: NodeParameters) -> set[str]:
    """Return which of `core.maps.MAPS` these outputs are made of; always disparity, which tells where an answer is."""
    needed = {"disparity"}
    if not {"depth/image_rect", "points2"}.isdisjoint(names):
        needed |= {"depth", "confidence"} if parameters.confidence_threshold > 0.0 else {"depth"}
    if "confidence" in names:
        needed.add("confidence")
    return needed
