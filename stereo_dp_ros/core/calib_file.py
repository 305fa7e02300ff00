"""Middlebury's calib.txt."""

from __future__ import annotations

import re
from pathlib import Path

from stereo_dp_ros.core.calibration import StereoCalibration, require_same_rows
from stereo_dp_ros.core.errors import CalibrationError

__all__ = ["read_calib_file"]


def read_calib_file(path: str | Path, image_size: tuple[int, int] | None = None) -> StereoCalibration:
    """Calibration from a file with Middlebury v3's keys: `cam0`, `cam1`, `baseline` (mm), `width`, `height`.

    Parameters
    ----------
    image_size
        (width, height) in px for files that do not give them; where they do, they must agree.

    Raises
    ------
    CalibrationError
        A key is missing or has no number, the cameras are not a rectified pair's, or the size is not the images'.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise CalibrationError(f"{path}: cannot be read ({reason}), expected Middlebury's calib.txt") from error
    entries = dict(re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", text, flags=re.MULTILINE))
    missing = [key for key in ("cam0", "cam1", "baseline") if key not in entries]
    if missing:
        raise CalibrationError(f"{path}: lacks {', '.join(missing)}, expected Middlebury's keys cam0, cam1, baseline")
    left, right = (_matrix(path, key, entries[key]) for key in ("cam0", "cam1"))
    require_same_rows(left, right, f"{path}: cam0, cam1")
    width, height = _size(path, entries, image_size)
    return StereoCalibration(
        width_px=width,
        height_px=height,
        fx_px=left[0][0],
        fy_px=left[1][1],
        cx_left_px=left[0][2],
        cx_right_px=right[0][2],
        cy_px=left[1][2],
        baseline_m=_numbers(path, "baseline", entries["baseline"], 1)[0] / 1e3,
    )


def _size(path: str | Path, entries: dict[str, str], image_size: tuple[int, int] | None) -> tuple[int, int]:
    if "width" in entries and "height" in entries:
        found = tuple(_whole_number(path, key, entries[key]) for key in ("width", "height"))
        if image_size is not None and found != image_size:
            raise CalibrationError(
                f"{path}: is for {found[0]}x{found[1]}, expected {image_size[0]}x{image_size[1]} as the images are"
            )
        return found[0], found[1]
    if image_size is None:
        raise CalibrationError(f"{path}: lacks width, height, and no image tells them")
    return image_size


def _whole_number(path: str | Path, key: str, text: str) -> int:
    value = _numbers(path, key, text, 1)[0]
    if not value.is_integer():  # neither are infinity and NaN
        raise CalibrationError(f"{path}: {key} is {text!r}, expected a whole number")
    return int(value)


def _matrix(path: str | Path, key: str, text: str) -> list[list[float]]:
    values = _numbers(path, key, text.strip("[]").replace(";", " "), 9)
    return [values[0:3], values[3:6], values[6:9]]


def _numbers(path: str | Path, key: str, text: str, count: int) -> list[float]:
    try:
        values = [float(word) for word in text.strip(" []").split()]
    except ValueError:
        values = []
    if len(values) != count:
        numbers = "number" if count == 1 else "numbers"
        raise CalibrationError(f"{path}: {key} is {text!r}, expected {count} {numbers}")
    return values
