"""Turns a sequence of image files into a bag."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import read_disparity, read_image
from stereo_dp_ros.core.rectification import CameraParameters
from stereo_dp_ros.replay.bag import BagWriter
from stereo_dp_ros.replay.layouts import StereoSequence
from stereo_dp_ros.replay.messages import camera_info_message, disparity_message, image_message

__all__ = ["make_bag"]

_SIDES = ("left", "right")


def make_bag(
    sequence: StereoSequence,
    path: Path,
    *,
    namespace: str = "/stereo",
    overwrite: bool = False,
    on_pair: Callable[[], object] = lambda: None,
) -> None:
    """Write every pair with its camera_info, and ground truth where there is some.

    Images go to ``<namespace>/<side>/image_rect``, or ``image_raw`` where they are not rectified; ground truth to
    ``<namespace>/ground_truth/disparity``. What was written when an error comes stays readable.

    Raises
    ------
    StereoDpError
        A file cannot be read, is of another size than the calibration, or the bag cannot be written.
    """
    images = "image_rect" if sequence.rectified else "image_raw"
    cameras = (sequence.left_camera, sequence.right_camera)
    frame_ids = [f"{namespace.strip('/').replace('/', '_')}_{side}_optical_frame" for side in _SIDES]
    truth_of = lru_cache(maxsize=1)(read_disparity)  # a pair held still names the same file again and again
    with BagWriter(path, overwrite=overwrite, compress=True) as bag:
        for pair in sequence.pairs:
            for side, file, camera, frame_id in zip(_SIDES, (pair.left, pair.right), cameras, frame_ids, strict=True):
                # A rectified pair shares the left camera's frame; P says where the right one is.
                frame = frame_ids[0] if sequence.rectified else frame_id
                info = camera_info_message(camera, pair.stamp_ns, frame)
                bag.write(f"{namespace}/{side}/camera_info", info, pair.stamp_ns)
                bag.write(f"{namespace}/{side}/{images}", _image(file, camera, pair.stamp_ns, frame), pair.stamp_ns)
            if pair.ground_truth is not None:
                truth = _ground_truth(truth_of(pair.ground_truth), pair.ground_truth, cameras)
                message = disparity_message(*truth, pair.stamp_ns, frame_ids[0])
                bag.write(f"{namespace}/ground_truth/disparity", message, pair.stamp_ns)
            on_pair()


def _image(path: Path, camera: CameraParameters, stamp: int, frame_id: str) -> Any:
    pixels = read_image(path)
    _require_size(path, pixels, camera)
    return image_message(pixels, "mono8" if pixels.ndim == 2 else "rgb8", stamp, frame_id)


def _ground_truth(
    disparity_px: NDArray[np.float32], path: Path, cameras: tuple[CameraParameters, CameraParameters]
) -> tuple[NDArray[np.float32], StereoCalibration]:
    _require_size(path, disparity_px, cameras[0])
    left, right = cameras
    return disparity_px, StereoCalibration.from_projections(left.p, right.p, left.width_px, left.height_px)


def _require_size(path: Path, pixels: NDArray[Any], camera: CameraParameters) -> None:
    height, width = pixels.shape[:2]
    if (width, height) != (camera.width_px, camera.height_px):
        raise DataError(f"{path}: is {width}x{height}, expected {camera.width_px}x{camera.height_px} as calibrated")
