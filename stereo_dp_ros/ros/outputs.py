"""From a disparity map to the messages that somebody subscribes to."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from stereo_msgs.msg import DisparityImage

from stereo_dp_ros.core.geometry import pixel_rays
from stereo_dp_ros.core.images import colorize_disparity
from stereo_dp_ros.core.maps import StereoMaps
from stereo_dp_ros.core.rectification import RectifiedWindow
from stereo_dp_ros.ros.camera import CameraPair
from stereo_dp_ros.ros.clouds import CloudPacker
from stereo_dp_ros.ros.conversions import depth_message, disparity_message, image_message
from stereo_dp_ros.ros.parameters import NodeParameters
from stereo_dp_ros.ros.qos import NO_PUBLISHER_EVENTS, output_profile

__all__ = ["OUTPUTS", "DISPARITY_STEP_PX", "Outputs", "StereoResult", "needed_maps"]

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

DISPARITY_STEP_PX = 1.0 / 16.0  # delta_d, nominal: the resolution of OpenCV's matchers, which readers expect


@dataclass(frozen=True)
class StereoResult:
    """One pair's maps with all else that its messages are made of.

    An array is computed when a message first asks for it. A pixel has no answer where the estimator gave none, where
    a rectified image has no content, and where d + doffs is below `min_disparity_px`.

    Attributes
    ----------
    maps : those that `needed_maps` says
    range_px : largest disparity that was searched; the smallest is 0
    """

    maps: StereoMaps
    range_px: float
    cameras: CameraPair
    left_image: NDArray[np.uint8]
    header: Header
    parameters: NodeParameters
    window: RectifiedWindow | None

    @property
    def min_disparity_px(self) -> float:
        """Smallest disparity of the message: the searched range + doffs, but at least one step above 0.

        DisparityImage has no answer for a disparity of 0 or less (depth = f·T / disparity), so where the range reaches
        there the smallest positive step takes its place.
        """
        return max(self.cameras.calibration.doffs_px, DISPARITY_STEP_PX)

    @property
    def max_disparity_px(self) -> float:
        """Largest disparity of the message: the searched range + doffs."""
        return max(self.range_px + self.cameras.calibration.doffs_px, self.min_disparity_px)

    @cached_property
    def adjusted_px(self) -> Float32Array:
        """Disparity + doffs, float32 (H, W) in px; it says something where `answered` only."""
        doffs_px = self.cameras.calibration.doffs_px
        disparity_px = _made(self.maps.disparity_px)
        return disparity_px + np.float32(doffs_px) if doffs_px else disparity_px

    @cached_property
    def answered(self) -> BoolArray:
        """Where there is an answer, bool (H, W)."""
        answered: BoolArray = self.adjusted_px >= np.float32(self.min_disparity_px)  # not so where NaN
        return answered if self.window is None else answered & self.window.mask

    @cached_property
    def depth_m(self) -> Float32Array:
        """Depth, float32 (H, W), NaN where unknown, beyond the depth limits or below the confidence threshold."""
        depth_m = _made(self.maps.depth_m)
        parameters = self.parameters
        kept = self.answered
        if parameters.min_depth_m > 0.0:
            kept = kept & (depth_m >= np.float32(parameters.min_depth_m))
        if parameters.max_depth_m > 0.0:
            kept = kept & (depth_m <= np.float32(parameters.max_depth_m))
        if parameters.confidence_threshold > 0.0:
            kept = kept & (_made(self.maps.confidence) >= np.float32(parameters.confidence_threshold))
        return _filled(depth_m, kept, np.nan)


def _made(values: Float32Array | None) -> Float32Array:
    if values is None:
        raise RuntimeError("the estimator was not asked for this map")
    return values


def _filled(values: Float32Array, kept: BoolArray, fill: float) -> Float32Array:
    """Return `values` with `fill` where not `kept`; the same array where all are."""
    if kept.all():
        return values
    filled = np.full_like(values, fill)
    return np.asarray(cv2.copyTo(values, kept.view(np.uint8), filled), np.float32)  # half of np.where's time


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

    def publish(self, names: list[str], result: StereoResult) -> dict[str, float]:
        """Make and publish these outputs one by one, so that disparity does not wait for a cloud.

        Returns the time that making the messages and publishing them took, in ms.
        """
        making_ns = publishing_ns = 0
        for name in names:
            started_ns = time.monotonic_ns()
            message = OUTPUTS[name][1](result, self._packer)
            made_ns = time.monotonic_ns()
            self._publishers[name].publish(message)
            making_ns += made_ns - started_ns
            publishing_ns += time.monotonic_ns() - made_ns
        return {"messages": making_ns * 1e-6, "publish": publishing_ns * 1e-6}

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()


def _disparity(result: StereoResult, _: CloudPacker) -> DisparityImage:
    calibration = result.cameras.calibration
    adjusted = _filled(result.adjusted_px, result.answered, result.min_disparity_px - 1.0)
    height, width = adjusted.shape
    return disparity_message(
        adjusted,
        result.header,
        focal_px=calibration.fx_px,
        baseline_m=calibration.baseline_m,
        min_disparity_px=result.min_disparity_px,
        max_disparity_px=result.max_disparity_px,
        valid_window=(0, 0, width, height) if result.window is None else result.window.rectangle,
        delta_px=DISPARITY_STEP_PX,
    )


def _depth(result: StereoResult, _: CloudPacker) -> Image:
    return depth_message(result.depth_m, result.parameters.depth_encoding, result.header)


def _depth_info(result: StereoResult, _: CloudPacker) -> CameraInfo:
    info = copy.copy(result.cameras.left)
    info.header = result.header
    return info


def _confidence(result: StereoResult, _: CloudPacker) -> Image:
    confidence = _filled(_made(result.maps.confidence), result.answered, 0.0)
    return image_message(confidence, "32FC1", result.header)


def _points(result: StereoResult, packer: CloudPacker) -> PointCloud2:
    every = slice(None, None, result.parameters.points_decimation)
    depth_m = np.ascontiguousarray(result.depth_m[every, every])
    rays_x, rays_y = pixel_rays(result.cameras.calibration)
    xyz_m = (depth_m * rays_x[every], depth_m * rays_y[every, None], depth_m)
    return packer.pack(xyz_m, result.left_image[every, every], result.parameters.points_color, result.header)


def _color(result: StereoResult, _: CloudPacker) -> Image:
    adjusted = _filled(result.adjusted_px, result.answered, np.nan)
    colored = colorize_disparity(adjusted, result.min_disparity_px, result.max_disparity_px)
    return image_message(colored, "bgr8", result.header)


# output -> message type and what makes its message, in the order in which they are published
OUTPUTS: dict[str, tuple[type, Callable[[StereoResult, CloudPacker], Any]]] = {
    "disparity": (DisparityImage, _disparity),
    "depth/image_rect": (Image, _depth),
    "depth/camera_info": (CameraInfo, _depth_info),
    "confidence": (Image, _confidence),
    "points2": (PointCloud2, _points),
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
