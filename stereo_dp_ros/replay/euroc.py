"""EuRoC's sensor.yaml: two cameras with distortion and poses, and how to rectify them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import CalibrationError
from stereo_dp_ros.core.rectification import CameraParameters

__all__ = ["euroc_cameras"]

_YAML_HEADER = "%YAML:1.0"  # OpenCV reads no YAML without it; the data set's own files have none


@dataclass(frozen=True)
class _Sensor:
    size_px: tuple[int, int]
    k: NDArray[np.float64]
    d: NDArray[np.float64]
    body_from_camera: NDArray[np.float64]


def euroc_cameras(left_path: Path, right_path: Path) -> tuple[CameraParameters, CameraParameters]:
    """Both cameras with the R and P that rectify them (OpenCV's stereoRectify, zero disparity at infinity, alpha 0).

    Raises
    ------
    CalibrationError
        A file is missing, lacks an entry, has a value that cannot be, or another camera model than pinhole with
        radial-tangential distortion; or both cameras are at one place.
    """
    left, right = _read(left_path), _read(right_path)
    if left.size_px != right.size_px:
        raise CalibrationError(f"{right_path}: resolution is {right.size_px}, expected the left one's {left.size_px}")
    right_from_left = np.linalg.inv(right.body_from_camera) @ left.body_from_camera
    if not right_from_left[:3, 3].any():
        raise CalibrationError(f"{right_path}: T_BS is where the left camera is, expected another place")
    r_left, r_right, p_left, p_right, *_ = cv2.stereoRectify(
        left.k,
        left.d,
        right.k,
        right.d,
        left.size_px,
        right_from_left[:3, :3],
        right_from_left[:3, 3:],
        flags=cv2.CALIB_ZERO_DISPARITY,
        alpha=0,
    )
    return (
        CameraParameters(*left.size_px, left.k, left.d, np.asarray(r_left), np.asarray(p_left)),
        CameraParameters(*right.size_px, right.k, right.d, np.asarray(r_right), np.asarray(p_right)),
    )


def _read(path: Path) -> _Sensor:
    file = _open(path)
    try:
        models = (_string(file, "camera_model"), _string(file, "distortion_model"))
        if models != ("pinhole", "radial-tangential"):
            raise CalibrationError(
                f"{path}: camera_model is {models[0]!r} and distortion_model {models[1]!r}, "
                "expected pinhole and radial-tangential"
            )
        fx, fy, cx, cy = _numbers(path, file.getNode("intrinsics"), "intrinsics", 4)
        distortion = _numbers(path, file.getNode("distortion_coefficients"), "distortion_coefficients", 4)
        pose_node = file.getNode("T_BS")
        pose_node = pose_node.getNode("data") if pose_node.isMap() else pose_node
        pose = np.array(_numbers(path, pose_node, "T_BS", 16)).reshape(4, 4)
        width, height = _numbers(path, file.getNode("resolution"), "resolution", 2)
    finally:
        file.release()
    if fx <= 0 or fy <= 0:
        raise CalibrationError(f"{path}: intrinsics has focal length {fx:g}, {fy:g} px, expected more than 0")
    if width < 1 or height < 1:
        raise CalibrationError(f"{path}: resolution is {width:g}x{height:g}, expected at least 1x1")
    if not np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-3):
        raise CalibrationError(f"{path}: T_BS has the rotation {pose[:3, :3].ravel().tolist()}, expected one")
    k = np.array(((fx, 0, cx), (0, fy, cy), (0, 0, 1)))
    return _Sensor((int(width), int(height)), k, np.array([*distortion, 0.0]), pose)


def _open(path: Path) -> cv2.FileStorage:
    if not path.is_file():
        raise CalibrationError(f"{path}: no such file, expected EuRoC's sensor.yaml")
    try:
        text = path.read_text(encoding="utf-8")
        text = text if text.startswith("%YAML") else f"{_YAML_HEADER}\n{text}"
        file = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read ({error.strerror}), expected EuRoC's sensor.yaml") from error
    except (cv2.error, SystemError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: cannot be read as YAML, expected EuRoC's sensor.yaml") from error
    if not file.root().isMap():
        raise CalibrationError(f"{path}: holds no entries, expected EuRoC's sensor.yaml")
    return file


def _string(file: cv2.FileStorage, key: str) -> str:
    node = file.getNode(key)
    return str(node.string()) if node.isString() else ""


def _numbers(path: Path, node: cv2.FileNode, key: str, count: int) -> list[float]:
    items = [node.at(i) for i in range(node.size())] if node.isSeq() else []
    values = [float(item.real()) for item in items if item.isReal() or item.isInt()]
    if len(values) != count:
        raise CalibrationError(f"{path}: {key} has {len(values)} numbers, expected {count}")
    if not np.isfinite(values).all():
        raise CalibrationError(f"{path}: {key} is {values}, expected finite numbers")
    return values
