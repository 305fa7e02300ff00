"""Geometry of a rectified stereo pair, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stereo_dp_ros.core.errors import CalibrationError

__all__ = ["StereoCalibration", "require_same_rows"]

_MAX_FOCAL_MISMATCH = 0.01  # relative; rectified cameras share f up to rounding of the calibration file
_MAX_ROW_MISMATCH_PX = 1.0


@dataclass(frozen=True)
class StereoCalibration:
    """Focal lengths, principal points and baseline of a rectified pair, at one image size.

    Both cameras share `fx_px`, `fy_px` and `cy_px`. A point at depth Z is seen at
    x_left = fx·X/Z + cx_left and x_right = fx·(X − B)/Z + cx_right, so that with d = x_left − x_right
    Z = fx·B / (d + doffs), where doffs = cx_right − cx_left (the convention of Middlebury v3's calib.txt).
    """

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_left_px: float
    cx_right_px: float
    cy_px: float
    baseline_m: float

    def __post_init__(self) -> None:
        values = (self.fx_px, self.fy_px, self.cx_left_px, self.cx_right_px, self.cy_px, self.baseline_m)
        if not all(math.isfinite(value) for value in values):
            raise CalibrationError(f"calibration has a value that is not finite: {self}")
        if self.width_px <= 0 or self.height_px <= 0:
            raise CalibrationError(f"image size is {self.width_px}x{self.height_px}, expected at least 1x1")
        if self.fx_px <= 0 or self.fy_px <= 0:
            raise CalibrationError(f"focal length is {self.fx_px:g}, {self.fy_px:g} px, expected more than 0")
        if self.baseline_m <= 0:
            raise CalibrationError(f"baseline is {self.baseline_m:g} m, expected more than 0")

    @property
    def doffs_px(self) -> float:
        """cx_right − cx_left, added to a disparity before it is turned into depth."""
        return self.cx_right_px - self.cx_left_px

    @classmethod
    def from_projections(
        cls, p_left: ArrayLike, p_right: ArrayLike, width_px: int, height_px: int
    ) -> StereoCalibration:
        """Calibration from the 3×4 projection matrices of CameraInfo.

        The baseline is (P_left[0,3] − P_right[0,3]) / P_right[0,0]; P_left[0,3] is 0 for most pairs, not for
        KITTI's colour cameras.

        Raises
        ------
        CalibrationError
            A matrix is all zeros (camera not calibrated), the pair has no baseline, left and right are
            swapped, or the two matrices are not those of one rectified pair.
        """
        left = np.asarray(p_left, dtype=np.float64).reshape(3, 4)
        right = np.asarray(p_right, dtype=np.float64).reshape(3, 4)
        for side, matrix in (("left", left), ("right", right)):
            if not np.isfinite(matrix).all():
                raise CalibrationError(f"P of the {side} camera has a value that is not finite")
            if not matrix.any():
                raise CalibrationError(
                    f"P of the {side} camera is all zeros, expected a projection (is it calibrated?)"
                )
            if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
                raise CalibrationError(
                    f"P of the {side} camera has focal length {matrix[0, 0]:g}, {matrix[1, 1]:g} px, "
                    "expected more than 0"
                )
        require_same_rows(left, right, "P")
        baseline_m = float((left[0, 3] - right[0, 3]) / right[0, 0])
        if baseline_m == 0:
            raise CalibrationError(
                f"the pair has no baseline: P[3] is {left[0, 3]:g} left and {right[0, 3]:g} right, "
                "expected −fx·baseline in the right camera's P[3]"
            )
        if baseline_m < 0:
            raise CalibrationError(
                f"P[3] is {left[0, 3]:g} left and {right[0, 3]:g} right, "
                "expected the right one to be smaller (are left and right swapped?)"
            )
        return cls(
            width_px=width_px,
            height_px=height_px,
            fx_px=float(right[0, 0]),
            fy_px=float(right[1, 1]),
            cx_left_px=float(left[0, 2]),
            cx_right_px=float(right[0, 2]),
            cy_px=float(left[1, 2]),
            baseline_m=baseline_m,
        )

    def to_projections(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The pair's 3×4 projection matrices, left and right, in px and px·m."""
        left = np.array([[self.fx_px, 0, self.cx_left_px, 0], [0, self.fy_px, self.cy_px, 0], [0, 0, 1, 0]], np.float64)
        right = left.copy()
        right[0, 2] = self.cx_right_px
        right[0, 3] = -self.fx_px * self.baseline_m
        return left, right

    def scaled(self, width_px: int, height_px: int) -> StereoCalibration:
        """Calibration of the pair resized to `width_px` × `height_px`.

        Integer coordinates are pixel centres, as in cv2.resize: x' = (x + ½)·s − ½.
        """
        sx, sy = width_px / self.width_px, height_px / self.height_px
        return replace(
            self,
            width_px=width_px,
            height_px=height_px,
            fx_px=self.fx_px * sx,
            fy_px=self.fy_px * sy,
            cx_left_px=(self.cx_left_px + 0.5) * sx - 0.5,
            cx_right_px=(self.cx_right_px + 0.5) * sx - 0.5,
            cy_px=(self.cy_px + 0.5) * sy - 0.5,
        )

    def cropped(self, x_px: int, y_px: int, width_px: int, height_px: int) -> StereoCalibration:
        """Calibration of the same rectangle cut out of both images; (x_px, y_px) is its top left pixel."""
        return replace(
            self,
            width_px=width_px,
            height_px=height_px,
            cx_left_px=self.cx_left_px - x_px,
            cx_right_px=self.cx_right_px - x_px,
            cy_px=self.cy_px - y_px,
        )


def require_same_rows(left: ArrayLike, right: ArrayLike, name: str) -> None:
    """Raise CalibrationError unless fx, fy and cy of two camera matrices agree, which rectification makes equal.

    `name` is what the error calls the matrices; (3, 3) or (3, 4), in px.
    """
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    mismatched = [
        f"{name} {a:g} left and {b:g} right"
        for name, a, b, tolerance in (
            ("fx", left[0, 0], right[0, 0], _MAX_FOCAL_MISMATCH * right[0, 0]),
            ("fy", left[1, 1], right[1, 1], _MAX_FOCAL_MISMATCH * right[1, 1]),
            ("cy", left[1, 2], right[1, 2], _MAX_ROW_MISMATCH_PX),
        )
        if abs(a - b) > tolerance
    ]
    if mismatched:
        raise CalibrationError(f"{name} has {', '.join(mismatched)}, expected equal values in a rectified pair")
