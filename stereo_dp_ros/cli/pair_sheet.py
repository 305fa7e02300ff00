"""One picture of many pairs: left image, ground truth, SGBM, a method's disparity and its error."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.images import write_image
from stereo_dp_ros.core.pairs import PairFolder
from stereo_dp_ros.core.sgbm import Sgbm, fill_holes
from stereo_dp_ros.replay.pictures import disparity_picture, error_picture

__all__ = ["PairSheet"]

_WIDTH_PX = 320
_MARGIN_PX = 6
_TITLE_PX = 24


class PairSheet:
    """Gathers a row for each pair; `write` makes the sheet.

    Parameters
    ----------
    method
        Name of the method that is shown beside SGBM.
    """

    def __init__(self, method: str) -> None:
        self.titles = ("left", "ground truth", "SGBM, filled", method, f"error of {method}, yellow: 4 px or more")
        self.rows: list[NDArray[np.uint8]] = []
        self._sgbm = Sgbm("sgbm")

    def add(
        self,
        pair: PairFolder,
        left: NDArray[np.uint8],
        right: NDArray[np.uint8],
        truth_px: NDArray[np.float32],
        answer: DisparityMap,
    ) -> None:
        """Draw a row."""
        high_px = float(np.nanmax(truth_px))
        colour = left if left.ndim == 3 else cv2.cvtColor(left, cv2.COLOR_GRAY2RGB)
        maps = (truth_px, fill_holes(self._sgbm.infer(left, right).disparity_px), answer.disparity_px)
        pictures = [colour, *(disparity_picture(m, 0.0, high_px) for m in maps)]
        pictures.append(error_picture(answer.disparity_px, truth_px))
        height = round(_WIDTH_PX * left.shape[0] / left.shape[1])
        row = _beside([cv2.resize(p, (_WIDTH_PX, height), interpolation=cv2.INTER_AREA) for p in pictures])
        self.rows.append(_titled(row, [f"{pair.set_name}/{pair.scene}"]))

    def write(self, path: str | Path) -> None:
        """Write the sheet, PNG or JPEG by its name's ending."""
        heads = _titled(np.full((_MARGIN_PX, self.rows[0].shape[1], 3), 255, np.uint8), self.titles)
        write_image(path, np.concatenate([heads, *self.rows]))


def _beside(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    margin = np.full((pictures[0].shape[0], _MARGIN_PX, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (margin, picture)], axis=1)


def _titled(row: NDArray[np.uint8], titles: list[str] | tuple[str, ...]) -> NDArray[np.uint8]:
    band = np.full((_TITLE_PX, row.shape[1], 3), 255, np.uint8)
    for column, title in enumerate(titles):
        at = (_MARGIN_PX + column * (_WIDTH_PX + _MARGIN_PX), _TITLE_PX - 8)
        cv2.putText(band, title, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([band, row])
