"""Ground truth from a folder of disparity files that are named by stamp."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import read_disparity
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.ground_truth import SAME_STAMP_NS, match_stamps, require_image_size

__all__ = ["FolderTruth"]

_SUFFIXES = (".png", ".pfm", ".npy")
_NS_PER_S = 1_000_000_000
_LATEST_NS = 2**62  # ns that are taken for s lie beyond, where no image is


class FolderTruth:
    """Plain disparity in .png (uint16, px × 256, 0 for none), .pfm or .npy files.

    A file's name is the stamp of its left image: in s if it has a decimal point ("12.066667.png"), else in ns, or in s
    where more of the images are found that way.

    Parameters
    ----------
    path : the bag
    left_topic : the images that the files belong to
    tolerance_ns : how far apart stamps may be

    Raises
    ------
    DataError
        The folder holds no such file, one is not named by a stamp, or the stamps never match.
    """

    def __init__(self, folder: Path, path: Path, left_topic: str, tolerance_ns: int = SAME_STAMP_NS) -> None:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
        if not files:
            raise DataError(f"{folder}: holds no {', '.join(_SUFFIXES)} file, expected ground truth named by stamp")
        with BagReader(path) as bag:
            images = bag.stamps_ns(left_topic)
        self._files, self._matches = _match(folder, files, images, tolerance_ns)
        self.first_image_ns = min(self._matches)
        self.description = f"disparity files in {folder}"

    def disparity_px(self, stamp_ns: int, calibration: StereoCalibration) -> NDArray[np.float32] | None:
        """See `GroundTruth`."""
        stamp = self._matches.get(stamp_ns)
        if stamp is None:
            return None
        truth_px = read_disparity(self._files[stamp])
        try:
            require_image_size(truth_px, calibration)
        except DataError as error:
            raise DataError(f"{self._files[stamp]}: {error}") from None
        return np.where(np.isfinite(truth_px), truth_px, np.float32(np.nan))

    def close(self) -> None:
        """Nothing is kept open."""


def _match(
    folder: Path, files: list[Path], images: list[int], tolerance_ns: int
) -> tuple[dict[int, Path], dict[int, int]]:
    """Files by stamp and image → file's stamp, with whole numbers taken for ns or s, whichever finds more images."""
    found: list[tuple[dict[int, Path], dict[int, int]]] = []
    errors: list[DataError] = []
    for unit_ns in (1, _NS_PER_S):
        by_stamp = {_stamp_ns(file, unit_ns): file for file in files}
        try:
            found.append((by_stamp, dict(match_stamps(str(folder), by_stamp, images, tolerance_ns))))
        except DataError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return max(found, key=lambda pair: len(pair[1]))


def _stamp_ns(file: Path, unit_ns: int) -> int:
    try:
        number = Decimal(file.stem)
        return min(int(number * (_NS_PER_S if "." in file.stem else unit_ns)), _LATEST_NS)
    except (InvalidOperation, ValueError, OverflowError):
        raise DataError(f"{file}: is not named by a stamp, expected ns or s such as 1403636579.763555584.png") from None
