"""The estimator: a pair of images in, disparity and confidence at their resolution out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import ImageError
from stereo_dp_ros.core.maps import MapRequest, StereoMaps, infer_maps
from stereo_dp_ros.core.models import Model
from stereo_dp_ros.core.preprocessing import Preprocessing, require_pair
from stereo_dp_ros.core.second_thread import SecondThread

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
        self._second = SecondThread("second image")  # its thread ends with the estimator

    def warm_up(self, width_px: int, height_px: int) -> None:
        """Have the runtime do for images of this size what it does once; raises BackendError if it fails."""
        black = np.zeros((height_px, width_px, 3), np.uint8)
        self.infer(black, black)

    def plan(self, width_px: int, height_px: int) -> Preprocessing:
        """How pairs of this size are fitted to the network."""
        return self.model.manifest.plan((width_px, height_px), self.input_size)

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
        maps = self.infer_maps(left, right, ("disparity", "confidence"))
        assert maps.disparity_px is not None and maps.confidence is not None
        return DisparityMap(
            disparity_px=maps.disparity_px,
            confidence=maps.confidence,
            min_disparity_px=0.0,
            max_disparity_px=self.max_disparity_px(left.shape[1], left.shape[0]),
            timing_ms=maps.timing_ms,
        )

    def infer_maps(
        self,
        left: NDArray[np.uint8],
        right: NDArray[np.uint8],
        wanted: Iterable[str],
        calibration: StereoCalibration | None = None,
    ) -> StereoMaps:
        """Only the maps that are wanted, some of `maps.MAPS`; depth and points need the images' calibration.

        On a GPU they are made there, and nothing else is copied back. Errors are those of `infer`, and
        CalibrationError where the calibration is missing or of another size.
        """
        require_pair(left, right)
        request = MapRequest(self.plan(left.shape[1], left.shape[0]), frozenset(wanted), calibration)
        return infer_maps(self.backend, left, right, request, self._second)

    def max_disparity_px(self, width_px: int, height_px: int) -> float:
        """Largest disparity that can be answered for images of this size, in their pixels; the smallest is 0."""
        return self.model.manifest.max_disparity_px * self.plan(width_px, height_px).disparity_scale
