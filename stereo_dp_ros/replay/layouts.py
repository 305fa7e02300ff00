"""Folders of images with a calibration, in the layouts that data sets come in, as a sequence for a bag."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stereo_dp_ros.core.calib_file import read_calib_file
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import read_image
from stereo_dp_ros.core.rectification import CameraParameters
from stereo_dp_ros.replay.euroc import euroc_cameras
from stereo_dp_ros.replay.messages import rectified_cameras

__all__ = ["LAYOUTS", "LayoutOptions", "PairFiles", "StereoSequence", "read_layout"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm")
_KITTI_FOLDERS = (
    ("image_2", "image_3", "P2", "P3"),
    ("image_0", "image_1", "P0", "P1"),
    ("image_02/data", "image_03/data", "P_rect_02", "P_rect_03"),
    ("image_00/data", "image_01/data", "P_rect_00", "P_rect_01"),
)
_KITTI_FILES = ("calib.txt", "calib_cam_to_cam.txt")
_LAST_STAMP_NS = 2**31 * 1_000_000_000 - 1  # seconds are an int32 in ROS
_FIRST_STAMP_NS = 1_000_000_000  # of frames whose names tell no time; a stamp of 0 means "unknown" in ROS


@dataclass(frozen=True)
class PairFiles:
    """One pair's files; `ground_truth` is a disparity file of the left image, or None."""

    stamp_ns: int
    left: Path
    right: Path
    ground_truth: Path | None = None


@dataclass(frozen=True)
class StereoSequence:
    """What a bag is made of; `rectified` says whether the images are, or camera_info tells how to."""

    pairs: Sequence[PairFiles]
    left_camera: CameraParameters
    right_camera: CameraParameters
    rectified: bool


@dataclass(frozen=True)
class LayoutOptions:
    """What a layout cannot tell by itself.

    Attributes
    ----------
    left, right : patterns of image files under the source (layout `images`)
    calibration : file with Middlebury's or KITTI's keys (layouts `images` and `kitti`); None looks in the source
    rate_hz : where neither names nor a file tell times
    repeat : how often a single pair is held (layout `pairs`)
    """

    left: str = "left/*"
    right: str = "right/*"
    calibration: Path | None = None
    rate_hz: float = 10.0
    repeat: int = 10


def read_layout(source: Path, layout: str | None, options: LayoutOptions) -> StereoSequence:
    """Find the pairs and the calibration of a folder; a layout of None is found by the folder's own names.

    Raises
    ------
    StereoDpError
        The folder is not laid out so, or its calibration cannot be used; says what was found and expected.
    """
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout is {layout!r}, expected one of {', '.join(LAYOUTS)}")
    if not source.is_dir():
        raise DataError(f"{source}: no such folder")
    sequence = LAYOUTS[layout or _layout_of(source)](source, options)
    for pair in sequence.pairs:
        if not 0 <= pair.stamp_ns <= _LAST_STAMP_NS:
            raise DataError(f"{pair.left}: its stamp is {pair.stamp_ns} ns, expected 0 to {_LAST_STAMP_NS}")
    return sequence


def _layout_of(source: Path) -> str:
    """The layout whose names a folder has; `images` where it has none of them."""
    if any((root / "cam0" / "data").is_dir() for root in (source, source / "mav0")):
        return "euroc"
    if any((source / left).is_dir() for left, *_ in _KITTI_FOLDERS):
        return "kitti"
    return "pairs" if (source / "im0.png").is_file() else "images"


def _euroc(source: Path, options: LayoutOptions) -> StereoSequence:
    root = source / "mav0" if (source / "mav0").is_dir() else source
    folders = [root / name / "data" for name in ("cam0", "cam1")]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder, expected EuRoC's cam0/data and cam1/data")
    by_stamp = [{path.stem: path for path in _images(folder)} for folder in folders]
    names = sorted(set(by_stamp[0]) & set(by_stamp[1]))
    if not names:
        raise DataError(f"{root}: no image of cam0 has the name of one of cam1, expected stamps in ns")
    wrong = next((name for name in names if not name.isdigit()), None)
    if wrong is not None:
        raise DataError(f"{by_stamp[0][wrong]}: the name is no stamp, expected nanoseconds")
    left_camera, right_camera = euroc_cameras(*(root / name / "sensor.yaml" for name in ("cam0", "cam1")))
    pairs = [PairFiles(int(name), by_stamp[0][name], by_stamp[1][name]) for name in names]
    return StereoSequence(pairs, left_camera, right_camera, rectified=False)


def _kitti(source: Path, options: LayoutOptions) -> StereoSequence:
    found = next((names for names in _KITTI_FOLDERS if all((source / name).is_dir() for name in names[:2])), None)
    if found is None:
        expected = ", ".join(f"{left} and {right}" for left, right, *_ in _KITTI_FOLDERS)
        raise DataError(f"{source}: has no pair of image folders, expected {expected}")
    left, right = (_images(source / name) for name in found[:2])
    alone = sorted({path.name for path in left} ^ {path.name for path in right})
    if alone:
        where = f"one of {found[0]} and {found[1]} alone has {', '.join(alone[:3])}{', …' * (len(alone) > 3)}"
        raise DataError(f"{source}: {where}, expected the same names in both")
    calibration_path = options.calibration or _first_file(source, _KITTI_FILES)
    size = _size(left[0])
    calibration = _kitti_calibration(calibration_path, found[2:], size)
    stamps = _kitti_stamps(source, found[0], len(left), options.rate_hz)
    return _rectified(source, left, right, stamps, calibration)


def _images_layout(source: Path, options: LayoutOptions) -> StereoSequence:
    left, right = (_matching(source, pattern) for pattern in (options.left, options.right))
    calibration_path = options.calibration or _first_file(source, ("calib.txt",))
    size = _size(left[0])
    text = _text(calibration_path)
    if re.search(r"^\s*cam0\s*=", text, flags=re.MULTILINE):
        calibration = read_calib_file(calibration_path, size)
    else:
        keys = [line.partition(":")[0].strip() for line in text.splitlines() if line.strip().startswith("P")]
        calibration = _kitti_calibration(calibration_path, keys[:2] or ("P0", "P1"), size)
    stamps = [_stamp_in_name(path) for path in left]
    right_stamps = [_stamp_in_name(path) for path in right]
    if None in stamps or None in right_stamps:
        return _rectified(source, left, right, _stamps(len(left), options.rate_hz), calibration)
    by_stamp = dict(zip(right_stamps, right, strict=True))
    pairs = [
        PairFiles(stamp, path, by_stamp[stamp])
        for stamp, path in zip(stamps, left, strict=True)
        if stamp is not None and stamp in by_stamp
    ]
    if not pairs:
        raise DataError(f"{source}: no image of {options.left} has the stamp of one of {options.right}")
    return StereoSequence(sorted(pairs, key=lambda pair: pair.stamp_ns), *rectified_cameras(calibration), True)


def _pairs(source: Path, options: LayoutOptions) -> StereoSequence:
    left, right = source / "im0.png", source / "im1.png"
    if not left.is_file() or not right.is_file():
        scenes = sorted(str(path.parent.relative_to(source)) for path in source.rglob("im0.png"))
        found = f"has the scenes {', '.join(scenes[:5])}{', …' * (len(scenes) > 5)}" if scenes else "has no im0.png"
        raise DataError(f"{source}: {found}, expected one scene's folder with im0.png and im1.png")
    calibration = read_calib_file(options.calibration or source / "calib.txt", _size(left))
    truth = next((source / name for name in ("disp0.png", "disp0.pfm") if (source / name).is_file()), None)
    pairs = [PairFiles(stamp, left, right, truth) for stamp in _stamps(options.repeat, options.rate_hz)]
    return StereoSequence(pairs, *rectified_cameras(calibration), rectified=True)


LAYOUTS: dict[str, Callable[[Path, LayoutOptions], StereoSequence]] = {
    "euroc": _euroc,
    "kitti": _kitti,
    "pairs": _pairs,
    "images": _images_layout,
}


def _rectified(
    source: Path, left: list[Path], right: list[Path], stamps: Sequence[int], calibration: StereoCalibration
) -> StereoSequence:
    """Pairs by their order."""
    if not len(left) == len(right) == len(stamps):
        raise DataError(
            f"{source}: has {len(left)} left and {len(right)} right images and {len(stamps)} times, expected as many"
        )
    pairs = [PairFiles(*files) for files in zip(stamps, left, right, strict=True)]
    return StereoSequence(pairs, *rectified_cameras(calibration), rectified=True)


def _stamps(count: int, rate_hz: float) -> list[int]:
    return [_FIRST_STAMP_NS + round(index * 1e9 / rate_hz) for index in range(count)]


def _stamp_in_name(path: Path) -> int | None:
    """Nanoseconds, or seconds with decimals, that a name ends in; None where it is neither."""
    match = re.search(r"(\d+)(\.\d+)?$", path.stem)
    if match is None:
        return None
    whole, decimals = match.groups()
    if decimals is not None:
        return int(whole) * 1_000_000_000 + int(decimals[1:].ljust(9, "0")[:9])
    return int(whole) if len(whole) >= 16 else None


def _kitti_stamps(source: Path, left_folder: str, count: int, rate_hz: float) -> list[int]:
    """Times of times.txt (odometry, s) or timestamps.txt (raw, dates); else by rate."""
    odometry, raw = source / "times.txt", (source / left_folder).parent / "timestamps.txt"
    try:
        if odometry.is_file():
            seconds = [float(line) for line in _text(odometry).split()]
            return [_FIRST_STAMP_NS + round(s * 1e9) for s in seconds]
        if raw.is_file():
            dates = [line.strip().replace(" ", "T") for line in _text(raw).splitlines() if line.strip()]
            return [int(np.datetime64(date, "ns").astype(np.int64)) for date in dates]
    except (ValueError, OverflowError) as error:
        raise DataError(f"{source}: its times cannot be read ({error})") from error
    return _stamps(count, rate_hz)


def _kitti_calibration(path: Path, keys: Sequence[str], size: tuple[int, int]) -> StereoCalibration:
    entries = dict(line.partition(":")[::2] for line in _text(path).splitlines() if ":" in line)
    matrices = []
    for key in keys:
        try:
            values = [float(word) for word in entries.get(key, "").split()]
        except ValueError:
            values = []
        if len(values) != 12:
            raise DataError(f"{path}: {key} has {len(values)} numbers, expected 12")
        matrices.append(np.array(values).reshape(3, 4))
    return StereoCalibration.from_projections(matrices[0], matrices[1], *size)


def _images(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise DataError(f"{folder}: holds no image, expected one of {', '.join(_SUFFIXES)}")
    return found


def _matching(source: Path, pattern: str) -> list[Path]:
    try:
        found = sorted(path for path in source.glob(pattern) if path.suffix.lower() in _SUFFIXES)
    except (ValueError, NotImplementedError) as error:  # it is empty, or begins at the root
        raise DataError(f"pattern is {pattern!r}, expected one within {source} such as 'left/*'") from error
    if not found:
        raise DataError(f"{source}: no image matches {pattern!r}")
    return found


def _size(path: Path) -> tuple[int, int]:
    height, width = read_image(path).shape[:2]
    return width, height


def _first_file(source: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (source / name).is_file():
            return source / name
    raise DataError(f"{source}: has no {' or '.join(names)}, expected a calibration (or name one with --calib)")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
