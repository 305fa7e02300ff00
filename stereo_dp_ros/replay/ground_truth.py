"""Ground truth of a bag's left images, whatever it comes from: who has it, and which stamp goes with which image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError

__all__ = ["SAME_STAMP_NS", "GroundTruth", "match_stamps", "require_image_size"]

SAME_STAMP_NS = 1_000_000  # stamps that went through text or floats are a little off


class GroundTruth(Protocol):
    """Ground truth by the stamp of a left image.

    Attributes
    ----------
    description : what it is, in a few words for a report
    first_image_ns : stamp of the first left image that has ground truth
    """

    description: str
    first_image_ns: int

    def disparity_px(self, stamp_ns: int, calibration: StereoCalibration) -> NDArray[np.float32] | None:
        """Plain disparity of the left image's pixels, float32 (H, W), NaN where there is none; None for the stamp.

        Raises
        ------
        DataError
            It is of another size than `calibration`, or cannot be read.
        """
        ...

    def close(self) -> None:
        """Close what it reads from."""
        ...


def match_stamps(name: str, truth_ns: Iterable[int], images_ns: Iterable[int], tolerance_ns: int) -> Mapping[int, int]:
    """Stamp of an image → stamp of its ground truth, each the other's nearest and at most `tolerance_ns` apart.

    Parameters
    ----------
    name : of the ground truth, for the error

    Raises
    ------
    DataError
        Either has no stamps, or none match; tells the two that come nearest.
    """
    truths, images = np.unique(np.fromiter(truth_ns, np.int64)), np.unique(np.fromiter(images_ns, np.int64))
    for what, stamps in (("ground truth", truths), ("left image", images)):
        if not len(stamps):
            raise DataError(f"{name}: there is no {what}, expected at least one")
    nearest = images[_nearest(images, truths)]
    mutual = truths[_nearest(truths, nearest)] == truths
    apart = np.abs(nearest - truths)
    kept = mutual & (apart <= tolerance_ns)
    if not kept.any():
        best = int(np.argmin(apart))
        raise DataError(
            f"{name}: none of its {len(truths)} stamps is that of a left image, expected {tolerance_ns * 1e-6:g} ms "
            f"at most; nearest: {truths[best]} is {apart[best] * 1e-6:.6g} ms from the image of {nearest[best]}"
        )
    return dict(zip(nearest[kept].tolist(), truths[kept].tolist(), strict=True))


def require_image_size(array: NDArray[np.float32], calibration: StereoCalibration) -> None:
    """Raise DataError unless ground truth is of the left image's size."""
    if array.shape != (calibration.height_px, calibration.width_px):
        raise DataError(
            f"ground truth is {array.shape[1]}x{array.shape[0]}, expected "
            f"{calibration.width_px}x{calibration.height_px} as the left image"
        )


def _nearest(ordered: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index in `ordered` of the nearest to each of `wanted`, the earlier of two equally near ones."""
    after = (
        np.clip(np.searchsorted(ordered, wanted), 1, len(ordered) - 1) if len(ordered) > 1 else np.zeros_like(wanted)
    )
    before = np.maximum(after - 1, 0)
    closer_before = np.abs(wanted - ordered[before]) <= np.abs(ordered[after] - wanted)
    return np.asarray(np.where(closer_before, before, after), np.int64)
