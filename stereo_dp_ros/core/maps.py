"""The maps that a pair is asked for: made on the runtime's device where it can, else here, with the same values."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import BackendError, CalibrationError
from stereo_dp_ros.core.geometry import depth_from_disparity, points_from_depth
from stereo_dp_ros.core.preprocessing import Preprocessing
from stereo_dp_ros.core.second_thread import SecondThread

__all__ = ["MAPS", "MapRequest", "StereoMaps", "infer_maps"]

MAPS = ("disparity", "confidence", "depth", "points")

_Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class MapRequest:
    """What is wanted of pairs of one size.

    Parameters
    ----------
    plan
        How the images are fitted to the network.
    wanted
        Some of `MAPS`.
    calibration
        Of the images' size; needed for depth and points.

    Raises
    ------
    CalibrationError
        Depth or points are wanted without a calibration, or with one of another size.
    """

    plan: Preprocessing
    wanted: frozenset[str]
    calibration: StereoCalibration | None = None

    def __post_init__(self) -> None:
        unknown = sorted(self.wanted - set(MAPS))
        if unknown:
            raise ValueError(f"there is no map named {', '.join(unknown)}, expected some of {', '.join(MAPS)}")
        if not self.wanted & {"depth", "points"}:
            return
        if self.calibration is None:
            raise CalibrationError("depth and points need a calibration, none was given")
        found = (self.calibration.width_px, self.calibration.height_px)
        if found != self.plan.image_size:
            sizes = ["x".join(map(str, size)) for size in (found, self.plan.image_size)]
            raise CalibrationError(f"calibration is of {sizes[0]} images, expected {sizes[1]}")


@dataclass(frozen=True)
class StereoMaps:
    """The wanted maps at the images' resolution, float32; None where not wanted.

    Attributes
    ----------
    disparity_px
        (H, W), NaN where there is no answer.
    confidence
        (H, W) in 0…1, 0 where there is no answer.
    depth_m
        (H, W), NaN where there is no answer; see `geometry.depth_from_disparity`.
    points_m
        (H, W, 3) in the left optical frame, NaN where there is no answer; see `geometry.points_from_depth`.
    timing_ms
        Wall time of `preprocess`, `inference` and `postprocess`. What a device does in one go is `inference`.
    """

    disparity_px: _Float32Array | None = None
    confidence: _Float32Array | None = None
    depth_m: _Float32Array | None = None
    points_m: _Float32Array | None = None
    timing_ms: dict[str, float] = field(default_factory=dict)


def infer_maps(
    backend: Backend,
    left: NDArray[np.uint8],
    right: NDArray[np.uint8],
    request: MapRequest,
    second: SecondThread | None = None,
) -> StereoMaps:
    """The wanted maps of a pair, uint8 (H, W) gray or (H, W, 3) RGB of the request's size.

    `second` works on the right image and the confidence beside this thread; left out, a thread is made for this call.

    A backend with a method `infer_maps(left, right, request)` makes them itself, with these values: images may differ
    by one gray level where they are enlarged for the network, the rest by rounding.
    """
    by_device = getattr(backend, "infer_maps", None)
    if by_device is not None:
        made: StereoMaps = by_device(left, right, request)
        return made
    if second is None:
        with SecondThread("second image") as own:
            return infer_maps(backend, left, right, request, own)
    plan = request.plan
    started = time.perf_counter()
    fitted = second.submit(plan.apply, right)
    network_left, network_right = plan.apply(left), fitted.result()
    prepared = time.perf_counter()
    disparity, network_confidence = backend.infer(network_left, network_right)
    inferred = time.perf_counter()
    if disparity.shape != network_left.shape[:2]:
        raise BackendError(
            f"{backend.name} returned disparity of shape {disparity.shape}, expected {network_left.shape[:2]}"
        )
    restored = second.submit(plan.invert_confidence, network_confidence) if "confidence" in request.wanted else None
    disparity_px = plan.invert_disparity(disparity)
    maps = _derived(request, disparity_px, restored.result() if restored else None)
    finished = time.perf_counter()
    return replace(
        maps,
        timing_ms={
            "preprocess": (prepared - started) * 1e3,
            "inference": (inferred - prepared) * 1e3,
            "postprocess": (finished - inferred) * 1e3,
        },
    )


def _derived(request: MapRequest, disparity_px: _Float32Array, confidence: _Float32Array | None) -> StereoMaps:
    """What is wanted, from the network's two answers at the images' resolution; both are changed where unknown."""
    unknown = ~np.isfinite(disparity_px)
    if unknown.any():
        disparity_px[unknown] = np.nan
        if confidence is not None:
            confidence[unknown] = 0
    depth_m = points_m = None
    if request.calibration is not None and request.wanted & {"depth", "points"}:
        depth_m = depth_from_disparity(disparity_px, request.calibration)
        points_m = points_from_depth(depth_m, request.calibration) if "points" in request.wanted else None
    return StereoMaps(
        disparity_px=disparity_px if "disparity" in request.wanted else None,
        confidence=confidence,
        depth_m=depth_m if "depth" in request.wanted else None,
        points_m=points_m,
    )
