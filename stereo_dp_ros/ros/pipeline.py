"""What happens to one pair between its arrival and its outputs. Runs in the inference thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import CalibrationError, ImageError
from stereo_dp_ros.core.maps import StereoMaps
from stereo_dp_ros.core.rectification import RectifiedWindow
from stereo_dp_ros.ros.camera import CameraInfos, CameraPair, MissingCameraInfoError
from stereo_dp_ros.ros.conversions import ImageDecoder
from stereo_dp_ros.ros.outputs import Outputs, needed_maps
from stereo_dp_ros.ros.parameters import NodeParameters
from stereo_dp_ros.ros.rectification import Rectification
from stereo_dp_ros.ros.result import StereoResult
from stereo_dp_ros.ros.synchronizer import ImagePair

__all__ = ["DroppedPairError", "Estimator", "Pipeline", "ProcessedPair"]

UInt8Array = NDArray[np.uint8]


class Estimator(Protocol):
    """What the node needs of `stereo_dp_ros.core.estimator.StereoEstimator`."""

    def warm_up(self, width_px: int, height_px: int) -> None:
        """Do for images of this size what is done once, such as compiling the network."""
        ...

    def infer_maps(
        self, left: UInt8Array, right: UInt8Array, wanted: Iterable[str], calibration: StereoCalibration | None
    ) -> StereoMaps:
        """Return the wanted maps of the left image's pixels; depth needs the calibration."""
        ...

    def max_disparity_px(self, width_px: int, height_px: int) -> float:
        """Return the largest disparity that is searched in images of this size; the smallest is 0."""
        ...


class DroppedPairError(Exception):
    """A pair that is let go; `cause` is counted, the message is for people (empty: nothing is wrong)."""

    def __init__(self, cause: str, line: str = "") -> None:
        super().__init__(line)
        self.cause = cause


@dataclass(frozen=True)
class ProcessedPair:
    """A pair whose outputs were published: its images as matched, its geometry, and each stage's duration."""

    left: UInt8Array
    right: UInt8Array
    cameras: CameraPair
    durations_ms: dict[str, float]


class Pipeline:
    """Decodes, rectifies, infers and publishes one pair.

    Parameters
    ----------
    topics : the left and right image topics, as errors name them
    rectification : None where images come rectified
    """

    def __init__(
        self,
        estimator: Estimator,
        outputs: Outputs,
        infos: CameraInfos,
        decoder: ImageDecoder,
        rectification: Rectification | None,
        topics: tuple[str, str],
    ) -> None:
        self._estimator: Estimator | None = estimator
        self._outputs = outputs
        self._infos = infos
        self._decoder = decoder
        self._rectification = rectification
        self._topics = topics
        self._inference = threading.Lock()  # one from before a deactivation may still run after the next activation

    def process(self, pair: ImagePair, parameters: NodeParameters, stopped: threading.Event) -> ProcessedPair:
        """Publish the outputs of `pair`.

        Once `stopped` is set nothing is published any more.

        Raises
        ------
        DroppedPairError : nothing was published
        """
        started_ns = time.monotonic_ns()
        waited_ns = started_ns - min(pair.left.received_ns, pair.right.received_ns)
        if 0.0 < parameters.max_age_s * 1e9 < waited_ns:
            raise DroppedPairError("too_old")
        names = self._outputs.subscribed()
        if not names:
            raise DroppedPairError("no_subscribers")
        left, right, cameras, window = self._prepare(pair)
        prepared_ns = time.monotonic_ns()
        maps, range_px = self._infer(left, right, needed_maps(names, parameters), cameras.calibration)
        inferred_ns = time.monotonic_ns()
        result = StereoResult(maps, range_px, cameras, left, pair.left.header, parameters, window)
        if stopped.is_set():
            raise DroppedPairError("deactivated")
        self._outputs.publish(names, result)
        published_ns = time.monotonic_ns()
        durations_ms = {
            "wait": waited_ns * 1e-6,
            "decode": (prepared_ns - started_ns) * 1e-6,
            "estimate": (inferred_ns - prepared_ns) * 1e-6,
            **{f"estimate/{stage}": duration for stage, duration in maps.timing_ms.items()},
            "publish": (published_ns - inferred_ns) * 1e-6,
            "total": (published_ns - started_ns + waited_ns) * 1e-6,
        }
        return ProcessedPair(left, right, cameras, durations_ms)

    def warm_up(self, width_px: int, height_px: int, parameters: NodeParameters) -> None:
        """Do for images of this size what is done once, so that the first pair need not wait for it.

        That is to build the rectification's maps and to compile the network, unless it works at a size that
        `parameters` give: then configuring did it. What fails here fails for the first pair too, and is told then.
        """
        with contextlib.suppress(Exception):
            cameras = self._infos.pair(width_px, height_px)
            if self._rectification is not None:
                self._rectification.prepare(cameras)
        estimator = self._estimator
        if estimator is not None and parameters.input_size is None:
            with contextlib.suppress(Exception), self._inference:
                estimator.warm_up(width_px, height_px)

    def close(self) -> None:
        """Let go of the estimator; an inference at work keeps it to its end.

        Its memory must not wait until the executor and Python's collector have let go of the subscriptions.
        """
        self._estimator = None

    def _prepare(self, pair: ImagePair) -> tuple[UInt8Array, UInt8Array, CameraPair, RectifiedWindow | None]:
        """Return both images as arrays, rectified, with their geometry."""
        try:
            left = self._decoder.decode(pair.left.message, self._topics[0])
            right = self._decoder.decode(pair.right.message, self._topics[1])
            self._require_alike(pair, left, right)
            height_px, width_px = left.shape[:2]
            cameras = self._infos.pair(width_px, height_px)
            if self._rectification is None:
                return left, right, cameras, None
            left, right, window = self._rectification(left, right, cameras)
            return left, right, cameras, window
        except ImageError as error:
            raise DroppedPairError("bad_image", str(error)) from error
        except MissingCameraInfoError as error:
            raise DroppedPairError("no_camera_info", str(error)) from error
        except CalibrationError as error:
            raise DroppedPairError("bad_camera_info", str(error)) from error

    def _require_alike(self, pair: ImagePair, left: UInt8Array, right: UInt8Array) -> None:
        found = [
            f"{image.shape[1]}x{image.shape[0]} {getattr(side.message, 'encoding', 'compressed')}"
            for image, side in ((left, pair.left), (right, pair.right))
        ]
        if left.shape != right.shape or found[0] != found[1]:
            raise ImageError(
                f"{self._topics[0]} is {found[0]} and {self._topics[1]} is {found[1]}, "
                "expected the same size and encoding"
            )

    def _infer(
        self, left: UInt8Array, right: UInt8Array, wanted: set[str], calibration: StereoCalibration
    ) -> tuple[StereoMaps, float]:
        """Return the wanted maps, made on a GPU if the network runs there, and the largest disparity searched."""
        estimator = self._estimator
        if estimator is None:
            raise DroppedPairError("deactivated")
        try:
            with self._inference:
                maps = estimator.infer_maps(left, right, wanted, calibration if "depth" in wanted else None)
            return maps, estimator.max_disparity_px(left.shape[1], left.shape[0])
        except Exception as error:  # a runtime's failure must cost one pair, not the node
            line = " ".join(str(error).split())
            raise DroppedPairError("inference_failed", f"inference failed: {type(error).__name__}: {line}") from error
