"""What runs while the node is active: subscriptions, pairing and the inference thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from stereo_dp_ros.core.camera_info import delivered_size
from stereo_dp_ros.core.rectification_check import measure_alignment
from stereo_dp_ros.ros.camera import SIDES, CameraInfos
from stereo_dp_ros.ros.faults import FaultLog, Severity
from stereo_dp_ros.ros.inputs import Input
from stereo_dp_ros.ros.parameters import NodeParameters
from stereo_dp_ros.ros.pipeline import DroppedPairError, Pipeline, ProcessedPair
from stereo_dp_ros.ros.statistics import Latencies, PairCounts
from stereo_dp_ros.ros.synchronizer import ImagePair, StereoSynchronizer, TimedMessage
from stereo_dp_ros.ros.worker import NewestWorker, RateLimit

__all__ = ["ActiveRun", "InputTopics"]

_STOP_TIMEOUT_S = 1.0
_INPUT_DEPTH = 10  # messages that may arrive in a burst before the executor takes the first
_MAX_ROW_OFFSET_PX = 1.25
_LARGEST_WARM_UP_PX = 1 << 24  # more than 4K images have; a camera_info that lies must not take the memory
_PAIR_CAUSES = ("bad_image", "bad_camera_info", "inference_failed", "output_failed")


@dataclass(frozen=True)
class InputTopics:
    """The subscribed topics, (left, right) each.

    Attributes
    ----------
    images, camera_infos : resolved names
    image_names, camera_info_names : what to subscribe to, for rclpy remaps whatever name it is given: one that is
        remapped already would be remapped again, and rules that swap left and right would undo themselves
    """

    images: tuple[str, str]
    camera_infos: tuple[str, str]
    image_names: tuple[str, str]
    camera_info_names: tuple[str, str]

    @classmethod
    def of(cls, node: Node, parameters: NodeParameters) -> InputTopics:
        """Return the names; compressed images come on ``<image topic>/compressed``."""
        image = "image_raw" if parameters.rectify else "image_rect"
        left, right = (f"{side}/{image}" for side in SIDES)
        if parameters.image_transport == "compressed":
            left, right = (f"{node.resolve_topic_name(name)}/compressed" for name in (left, right))
        left_info, right_info = (f"{side}/camera_info" for side in SIDES)
        resolve = node.resolve_topic_name
        return cls(
            (resolve(left), resolve(right)),
            (resolve(left_info), resolve(right_info)),
            (left, right),
            (left_info, right_info),
        )


class ActiveRun:
    """From activation to deactivation: feeds received pairs to `pipeline` and accounts for each of them.

    Callbacks come from the node's executor, pairs are processed in a thread of this object.

    Parameters
    ----------
    live_parameters : returns the present parameters, read for every pair
    """

    def __init__(
        self,
        node: Node,
        topics: InputTopics,
        pipeline: Pipeline,
        infos: CameraInfos,
        synchronizer: StereoSynchronizer,
        faults: FaultLog,
        live_parameters: Callable[[], NodeParameters],
    ) -> None:
        self.synchronizer = synchronizer
        self.counts = PairCounts()
        self.latencies = Latencies()
        self.started_ns = time.monotonic_ns()
        self._node = node
        self._pipeline = pipeline
        self._infos = infos
        self._faults = faults
        self._live_parameters = live_parameters
        self._rate_limit = RateLimit()
        self._checked_ns: int | None = None
        self._note = ""
        self._warm_size_px = (0, 0)
        self._stopped = threading.Event()
        self.images, self.camera_infos = self._open_inputs(topics)
        self._worker: NewestWorker[ImagePair] = NewestWorker(self._process, "stereo inference")

    def _open_inputs(self, topics: InputTopics) -> tuple[list[Input], list[Input]]:
        parameters = self._live_parameters()
        image_type = CompressedImage if parameters.image_transport == "compressed" else Image

        def open_input(message_type: type, name: str, callback: Callable[[Any], None], latched: bool) -> Input:
            return Input(
                self._node,
                message_type,
                name,
                callback,
                faults=self._faults,
                latched=latched,
                reliability=parameters.input_reliability,
                depth=max(parameters.queue_size, _INPUT_DEPTH),
            )

        def on_image(side: str, topic: str) -> Callable[[Any], None]:
            return lambda message: self._on_image(side, topic, message)

        def on_camera_info(side: str) -> Callable[[Any], None]:
            return lambda message: self._on_camera_info(side, message)

        camera_infos = [
            open_input(CameraInfo, name, on_camera_info(side), True)
            for side, name in zip(SIDES, topics.camera_info_names, strict=True)
        ]
        images = [
            open_input(image_type, name, on_image(side, topic), False)
            for side, name, topic in zip(SIDES, topics.image_names, topics.images, strict=True)
        ]
        return images, camera_infos

    def refresh(self) -> None:
        """Follow publishers whose quality of service changed."""
        for subscribed in (*self.images, *self.camera_infos):
            subscribed.refresh()

    def stop(self) -> bool:
        """End the thread and unsubscribe; whatever waits is let go and counted.

        Returns whether the thread has ended; an inference that takes long ends it later, without output.
        """
        self._stopped.set()
        if self._worker.stop(_STOP_TIMEOUT_S) is not None:
            self.counts.drop("deactivated")
        for subscribed in (*self.images, *self.camera_infos):
            subscribed.close()
        self.synchronizer.clear()
        self._infos.clear()
        self._faults.resolve("rectification", "calibration")
        return self._worker.ended

    def on_pair(self, pair: ImagePair) -> None:
        """Take a matched pair."""
        self.counts.match()
        if not self._rate_limit.allows(self._live_parameters().max_rate_hz, time.monotonic_ns()):
            self.counts.drop("rate_limit")
        elif self._worker.submit(pair) is not None:
            self.counts.drop("superseded")

    def _on_camera_info(self, side: str, info: CameraInfo) -> None:
        self._infos.store(side, info)
        size_px = delivered_size(info)
        if size_px == self._warm_size_px or not self._infos.known(*size_px):
            return
        self._warm_size_px = size_px
        if size_px[0] * size_px[1] <= _LARGEST_WARM_UP_PX:
            self._worker.run_first(lambda: self._pipeline.warm_up(*size_px, self._live_parameters()))

    def _on_image(self, side: str, topic: str, message: Any) -> None:
        timed = TimedMessage(message, time.monotonic_ns())
        jumps = self.synchronizer.time_jumps
        if timed.stamp_ns == 0:
            self._faults.report("zero_stamp", f"{topic}: stamp is 0, expected the time of exposure (not paired)")
        self.synchronizer.add(side, timed)
        if self.synchronizer.time_jumps > jumps:
            line = f"{topic}: stamps jumped back to {timed.stamp_ns * 1e-9:.3f} s, pairing starts anew"
            self._faults.report("time_jump", line, Severity.WARN)

    def _process(self, pair: ImagePair) -> None:
        try:
            processed = self._pipeline.process(pair, self._live_parameters(), self._stopped)
        except DroppedPairError as dropped:
            self.counts.drop(dropped.cause)
            if dropped.cause in _PAIR_CAUSES:
                self._faults.report(dropped.cause, str(dropped))
            return
        except Exception as error:  # the thread must survive, and the pair must be counted
            self.counts.drop("output_failed")
            if not self._stopped.is_set():
                self._faults.report("output_failed", f"output failed: {type(error).__name__}: {error}")
            return
        self.counts.publish()
        self.latencies.add(processed.durations_ms)
        self._faults.resolve(*_PAIR_CAUSES)
        note = processed.cameras.note
        if note and note != self._note:
            self._note = note
            self._node.get_logger().info(note)
        if processed.cameras.doubt:
            topics = " and ".join(info.topic for info in self.camera_infos)
            self._faults.report("calibration", f"{topics}: {processed.cameras.doubt}", Severity.WARN, lasting=True)
        else:
            self._faults.resolve("calibration")
        try:
            self._check_rectification(processed)
        except Exception as error:  # the pair is answered, and the thread must survive
            line = f"the images' alignment cannot be measured: {type(error).__name__}: {' '.join(str(error).split())}"
            self._faults.report("rectification", line, Severity.WARN)

    def _check_rectification(self, processed: ProcessedPair) -> None:
        """Look at the images themselves now and then; a warning stays until a later look finds nothing."""
        period_s = self._live_parameters().rectification_check_period_s
        now_ns = time.monotonic_ns()
        if period_s == 0.0:
            self._faults.resolve("rectification")
            return
        if self._checked_ns is not None and now_ns - self._checked_ns < period_s * 1e9:
            return
        self._checked_ns = now_ns
        alignment = measure_alignment(processed.left, processed.right)
        if alignment is None:
            return
        self._faults.resolve("rectification")
        names = " and ".join(image.topic for image in self.images)
        adjusted_px = alignment.disparity_px + processed.cameras.calibration.doffs_px
        if alignment.row_offset_px > _MAX_ROW_OFFSET_PX:
            line = (
                f"{names}: {alignment.matches} matches are {alignment.row_offset_px:.1f} px apart vertically (median), "
                f"expected less than {_MAX_ROW_OFFSET_PX} in a rectified pair (set rectify, or calibrate anew)"
            )
            self._faults.report("rectification", line, Severity.WARN, lasting=True)
        elif adjusted_px < -_MAX_ROW_OFFSET_PX:
            line = (
                f"{names}: matches have a disparity of {adjusted_px:.1f} px (median), expected more than 0 "
                "(are left and right swapped?)"
            )
            self._faults.report("rectification", line, Severity.WARN, lasting=True)
