"""The estimator: a pair of images in, disparity and confidence at their resolution out."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import BackendError, ImageError
from stereo_dp_ros.core.models import Model
from stereo_dp_ros.core.preprocessing import Preprocessing, require_pair

__all__ = ["StereoEstimator"]


class StereoEstimator:
    """Runs a model on rectified pairs of any size. Holds no state between pairs.

    Parameters
    ----------
    model, backend
        The model and the runtime it was loaded into.
    input_size
        (width, height) in px at which the network works; None means the images' own size, enlarged as the model's
        manifest says. Disparity comes back at the images' resolution either way.
    """

    def __init__(self, model: Model, backend: Backend, *, input_size: tuple[int, int] | None = None) -> None:
        if input_size is not None and min(input_size) < model.manifest.size_multiple:
            raise ImageError(
                f"inference size is {input_size[0]}x{input_size[1]}, expected at least "
                f"{model.manifest.size_multiple} px on each side"
            )
        self.model = model
        self.backend = backend
        self.input_size = input_size

    def warm_up(self, width_px: int, height_px: int) -> None:
        """Have the runtime do for images of this size what it does once; raises BackendError if it fails."""
        black = np.zeros((height_px, width_px, 3), np.uint8)
        self.infer(black, black)

    def plan(self, width_px: int, height_px: int) -> Preprocessing:
        """How pairs of this size are fitted to the network."""
        model = self.model.manifest
        size = (width_px, height_px)
        return Preprocessing.plan(size, model.size_multiple, self.input_size, model.enlargement, model.min_area_px)

    def infer(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> DisparityMap:
        """Disparity of the left image's pixels.

        Parameters
        ----------
        left, right
            uint8 (H, W) gray or (H, W, 3) RGB, rectified, of one shape.

        Raises
        ------
        ImageError
            The images are not such a pair.
        BackendError
            The runtime failed.
        """
        require_pair(left, right)
        started = time.perf_counter()
        height, width = left.shape[:2]
        plan = self.plan(width, height)
        network_left, network_right = plan.apply(left), plan.apply(right)
        prepared = time.perf_counter()
        disparity, confidence = self.backend.infer(network_left, network_right)
        inferred = time.perf_counter()
        if disparity.shape != network_left.shape[:2]:
            raise BackendError(
                f"{self.backend.name} returned disparity of shape {disparity.shape}, expected {network_left.shape[:2]}"
            )
        disparity_px = plan.invert_disparity(disparity)
        confidence = plan.invert_confidence(confidence)
        unknown = ~np.isfinite(disparity_px)
        if unknown.any():
            disparity_px[unknown] = np.nan
            confidence[unknown] = 0
        finished = time.perf_counter()
        return DisparityMap(
            disparity_px=disparity_px,
            confidence=confidence,
            min_disparity_px=0.0,
            max_disparity_px=self.model.manifest.max_disparity_px * plan.disparity_scale,
            timing_ms={
                "preprocess": (prepared - started) * 1e3,
                "inference": (inferred - prepared) * 1e3,
                "postprocess": (finished - inferred) * 1e3,
            },
        )
