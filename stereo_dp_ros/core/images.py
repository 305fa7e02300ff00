"""Image, disparity and point files, and colours to look at disparity with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import DataError, ImageError

__all__ = [
    "colorize_disparity",
    "read_disparity",
    "read_image",
    "write_disparity",
    "write_image",
    "write_ply",
]

_COLOR_LEVELS = 255
_PNG_SCALE = 256.0  # as KITTI stores disparity in 16-bit PNG


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """An 8-bit image as uint8 (H, W) gray or (H, W, 3) RGB; a 16-bit one keeps its upper 8 bits.

    Raises
    ------
    ImageError
        The file is missing or no image that OpenCV reads.
    """
    image = _decode(path, cv2.IMREAD_UNCHANGED)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ImageError(f"{path}: pixels are {image.dtype}, expected 8 or 16 bits")
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    conversion = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, conversion), np.uint8)


def write_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W) gray or (H, W, 3) RGB in the format of the path's suffix."""
    _encode(path, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def read_disparity(path: str | Path) -> NDArray[np.float32]:
    """Disparity, float32 (H, W) in px with NaN for none, from a .png (uint16 × 256), .pfm or .npy file."""
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return _load_npy(path)
    array = _decode(path, cv2.IMREAD_UNCHANGED)
    if array.ndim != 2 or array.dtype not in (np.uint16, np.float32):
        raise DataError(
            f"{path}: is {array.dtype} with shape {array.shape}, expected one channel of uint16 (px × 256) or float32"
        )
    if array.dtype == np.uint16:
        disparity = array.astype(np.float32) / np.float32(_PNG_SCALE)
        disparity[array == 0] = np.nan
    else:
        disparity = array * np.float32(_pfm_scale(path)) if suffix == ".pfm" else array.copy()
        disparity[~np.isfinite(disparity)] = np.nan
    return disparity


def write_disparity(path: str | Path, disparity_px: NDArray[np.float32]) -> None:
    """Write disparity as .png (uint16 × 256, 0 unknown), .pfm (inf unknown) or .npy (NaN unknown).

    A known disparity under 1/256 px is stored as 1 in the PNG, so that it does not read as unknown.

    Raises
    ------
    ImageError
        The suffix is another one, the file cannot be written, or a disparity is larger than the PNG holds.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        steps = np.rint(np.nan_to_num(disparity_px, nan=0.0) * _PNG_SCALE)
        most = np.iinfo(np.uint16).max
        if steps.max(initial=0) > most:
            raise ImageError(
                f"{path}: disparity reaches {steps.max() / _PNG_SCALE:.2f} px, a PNG holds {most / _PNG_SCALE:.2f} px "
                "at most, expected .pfm or .npy"
            )
        stored = np.maximum(steps, 1).astype(np.uint16)
        stored[np.isnan(disparity_px)] = 0
        _encode(path, stored)
    elif suffix == ".pfm":
        _encode(path, np.where(np.isnan(disparity_px), np.float32(np.inf), disparity_px))
    elif suffix == ".npy":
        try:
            np.save(path, disparity_px)
        except OSError as error:
            raise ImageError(f"{path}: cannot be written ({error.strerror})") from error
    else:
        raise ImageError(f"{path}: suffix is {suffix or 'missing'}, expected .png, .pfm or .npy")


def write_ply(path: str | Path, points_m: NDArray[np.float32], rgb: NDArray[np.uint8]) -> None:
    """Write the finite ones of points (H, W, 3) in m with colours uint8 (H, W, 3) as a binary PLY file."""
    known = np.isfinite(points_m).all(axis=-1)
    vertices = np.empty(
        int(known.sum()),
        [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")],
    )
    for index, name in enumerate("xyz"):
        vertices[name] = points_m[known, index]
    for index, name in enumerate(("red", "green", "blue")):
        vertices[name] = rgb[known, index]
    properties = [f"property float {n}" for n in "xyz"]
    properties += [f"property uchar {n}" for n in ("red", "green", "blue")]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {vertices.size}"]
    header += [*properties, "end_header"]
    try:
        Path(path).write_bytes(("\n".join(header) + "\n").encode("ascii") + vertices.tobytes())
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror})") from error


def colorize_disparity(
    disparity_px: NDArray[np.float32], min_px: float, max_px: float, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Disparity in colours to look at: uint8 (H, W, 3) BGR, near red, far blue, unknown black; `out` if given."""
    scale = (_COLOR_LEVELS - 1) / max(max_px - min_px, 1e-6)
    # One pass: 1 for min_px to 255 for max_px and above, and 0 for NaN, which no integer holds.
    levels = cv2.convertScaleAbs(np.maximum(disparity_px, min_px), alpha=scale, beta=1.0 - min_px * scale)
    return np.asarray(cv2.applyColorMap(levels, _colors(), out), np.uint8)


@cache
def _colors() -> NDArray[np.uint8]:
    """Black, then `_COLOR_LEVELS` of them, uint8 (256, 1, 3) BGR."""
    levels = np.linspace(0, 255, _COLOR_LEVELS).round().astype(np.uint8)[:, None]
    return np.concatenate([np.zeros((1, 1, 3), np.uint8), cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)])


def _decode(path: str | Path, flags: int) -> NDArray[Any]:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except cv2.error:  # a header whose size cannot be
        image = None
    if image is None:
        raise ImageError(f"{path}: is no image that can be decoded, expected PNG, JPEG, PFM or the like")
    return image


def _pfm_scale(path: str | Path) -> float:
    """What OpenCV divided a PFM's values by: Middlebury and ETH3D keep pixels, whatever scale their header names."""
    with Path(path).open("rb") as stream:
        header = stream.read(128).split(maxsplit=4)
    return abs(float(header[3]))


def _encode(path: str | Path, image: NDArray[Any]) -> None:
    suffix = Path(path).suffix
    try:
        done, content = cv2.imencode(suffix, image)
    except cv2.error:
        done = False
    if not done:
        raise ImageError(f"{path}: suffix is {suffix or 'missing'}, expected one of an image, such as .png")
    try:
        Path(path).write_bytes(content.tobytes())
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror})") from error


def _load_npy(path: str | Path) -> NDArray[np.float32]:
    try:
        with Path(path).open("rb") as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npy ({error})") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: is {array.dtype} with shape {array.shape}, expected numbers (H, W)")
    return np.asarray(array, np.float32)
