"""A film of a run: the left image beside the disparity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import colorize_disparity
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.decoding import disparity_pixels
from stereo_dp_ros.replay.messages import stamp_ns
from stereo_dp_ros.replay.source_images import SourceImages
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["write_video"]

_CODEC = "mp4v"  # MPEG-4 part 2: what OpenCV's wheels can write


def write_video(
    source: BagReader,
    recorded: BagReader,
    topics: StereoTopics,
    namespace: str,
    path: Path,
    *,
    rate_hz: float,
    range_px: tuple[float, float],
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Write an MP4 of every recorded disparity that has its image; returns how many.

    Parameters
    ----------
    source, recorded : the bag that was played and the outputs, in `namespace`
    range_px : plain disparities that the colours span
    stop : asked after each frame; the rest is then left out

    Raises
    ------
    DataError
        The file cannot be written, or the bags do not fit.
    """
    images = SourceImages(source, topics)
    writer: cv2.VideoWriter | None = None
    size, frames = (0, 0), 0
    try:
        for _, _, message in recorded.messages([f"{namespace}/disparity"]):
            stamp = stamp_ns(message)
            left = images.left(stamp)
            if left is None:
                continue
            plain_px = disparity_pixels(message) - np.float32(images.calibration_of(stamp).doffs_px)
            picture = _picture(left, plain_px, range_px)
            if writer is None:
                size = (picture.shape[1], picture.shape[0])
                writer = _open(path, rate_hz, size)
            elif (picture.shape[1], picture.shape[0]) != size:
                picture = np.asarray(cv2.resize(picture, size), np.uint8)
            writer.write(picture)
            frames += 1
            if stop():
                break
    finally:
        if writer is not None:
            writer.release()
    return frames


def _open(path: Path, rate_hz: float, size: tuple[int, int]) -> cv2.VideoWriter:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*_CODEC), rate_hz, size)
    if not writer.isOpened():
        raise DataError(f"{path}: cannot be written as MP4 of {size[0]}x{size[1]} at {rate_hz:g} Hz")
    return writer


def _picture(
    left: NDArray[np.uint8], plain_px: NDArray[np.float32], range_px: tuple[float, float]
) -> NDArray[np.uint8]:
    """Left image and disparity side by side, BGR; an even width and height, which encoders ask for."""
    bgr = cv2.cvtColor(left, cv2.COLOR_GRAY2BGR if left.ndim == 2 else cv2.COLOR_RGB2BGR)
    both = np.concatenate([bgr, colorize_disparity(plain_px, *range_px)], axis=1)
    return np.ascontiguousarray(both[: both.shape[0] // 2 * 2, : both.shape[1] // 2 * 2])
