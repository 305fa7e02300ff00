"""Pictures of frames for a report: uint8 (H, W, 3) RGB arrays and their encoding into a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.images import colorize_disparity

__all__ = [
    "BACKGROUND",
    "ERROR_LIMIT_PX",
    "PITCH_DEG",
    "YAW_DEG",
    "CloudView",
    "cloud_view",
    "color_scale",
    "confidence_picture",
    "data_uri",
    "disparity_picture",
    "error_picture",
    "view_cloud",
]

Image = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

ERROR_LIMIT_PX = 4.0  # errors from here on look alike
YAW_DEG, PITCH_DEG = -15.0, 10.0  # where a cloud is first seen from
_NO_TRUTH_GRAY = 128
BACKGROUND = (18, 22, 28)
_COLOR_MAPS = {"disparity": cv2.COLORMAP_TURBO, "error": cv2.COLORMAP_INFERNO, "confidence": cv2.COLORMAP_VIRIDIS}


def disparity_picture(disparity_px: FloatArray, min_px: float, max_px: float) -> Image:
    """Near red, far blue, unknown black."""
    return _rgb(colorize_disparity(disparity_px, min_px, max_px))


def error_picture(disparity_px: FloatArray, ground_truth_px: FloatArray) -> Image:
    """|d − ground truth|: black is 0, yellow ERROR_LIMIT_PX or more or no answer, gray no ground truth."""
    error_px = np.abs(disparity_px - ground_truth_px)
    error_px = np.where(np.isnan(disparity_px), ERROR_LIMIT_PX, error_px)
    picture = _mapped(error_px / ERROR_LIMIT_PX, "error")
    picture[np.isnan(ground_truth_px)] = _NO_TRUTH_GRAY
    return picture


def confidence_picture(confidence: FloatArray) -> Image:
    """Violet is 0, yellow is 1."""
    return _mapped(confidence, "confidence")


def color_scale(name: str, steps: int = 9) -> list[str]:
    """Colours of the map of `disparity`, `error` or `confidence` from low to high, as #rrggbb."""
    levels = np.linspace(0, 255, steps).round().astype(np.uint8)[None]
    colors = _rgb(cv2.applyColorMap(levels, _COLOR_MAPS[name]))[0]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colors]


def data_uri(picture: Image, quality: int = 88) -> str:
    """The picture as JPEG in a data: address."""
    done, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"picture of shape {picture.shape} cannot be encoded as JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode('ascii')}"


@dataclass(frozen=True)
class CloudView:
    """The points of a cloud that are shown, float32 (N, 3), their uint8 (N, 3) RGB, and the depth it turns around."""

    points_m: FloatArray
    colors: Image
    pivot_m: float


def cloud_view(points_m: FloatArray, colors: Image) -> CloudView | None:
    """What to show of an organised cloud: known points that do not lie far behind the rest; None without any."""
    known = np.isfinite(points_m).all(axis=-1)
    if not known.any():
        return None
    points, point_colors = points_m[known], colors[known]
    kept = points[:, 2] <= 1.6 * float(np.percentile(points[:, 2], 90))
    points, point_colors = points[kept], point_colors[kept]
    return CloudView(points, point_colors, float(np.median(points[:, 2])))


def view_cloud(
    points_m: FloatArray,
    colors: Image,
    focal_px: float,
    size_px: tuple[int, int],
    *,
    yaw_deg: float = YAW_DEG,
    pitch_deg: float = PITCH_DEG,
) -> Image:
    """An organised cloud seen from beside and above its camera.

    Parameters
    ----------
    points_m : (H, W, 3), x right, y down, z ahead, NaN invalid
    colors : (H, W, 3) RGB
    focal_px : of the camera that saw it; a point is drawn as large as its pixel was
    size_px : width and height of the picture
    yaw_deg, pitch_deg : how far the viewer goes around the cloud's middle to the right (negative: left) and up

    Returns
    -------
    picture : uint8 (height, width, 3) RGB
    """
    width, height = size_px
    picture = np.empty((height, width, 3), np.uint8)
    picture[...] = BACKGROUND
    view = cloud_view(points_m, colors)
    if view is None:
        return picture
    points, point_colors = view.points_m.astype(np.float64), view.colors
    side_m = points[:, 2] / focal_px
    pivot = np.array((0.0, 0.0, view.pivot_m))
    seen = (points - pivot) @ _orbit(yaw_deg, pitch_deg).T + pivot + (0.0, 0.0, 0.12 * pivot[2])
    in_front = seen[:, 2] > 0.05 * pivot[2]
    seen, point_colors, side_m = seen[in_front], point_colors[in_front], side_m[in_front]
    view_focal_px = focal_px * min(width / points_m.shape[1], height / points_m.shape[0])
    order = np.argsort(-seen[:, 2])  # what is drawn later covers what lies behind
    seen, point_colors, side_m = seen[order], point_colors[order], side_m[order]
    x = view_focal_px * seen[:, 0] / seen[:, 2] + width / 2
    y = view_focal_px * seen[:, 1] / seen[:, 2] + height / 2
    dots_px = np.clip(np.ceil(1.6 * view_focal_px * side_m / seen[:, 2]), 1, 4).astype(int)
    for part in np.array_split(np.arange(len(x)), 64):  # far to near, so that large dots stay behind nearer ones
        for dot_px in np.unique(dots_px[part]):
            chosen = part[dots_px[part] == dot_px]
            for dy in range(dot_px):
                for dx in range(dot_px):
                    columns = (x[chosen] + dx - dot_px / 2).astype(int)
                    rows = (y[chosen] + dy - dot_px / 2).astype(int)
                    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
                    picture[rows[inside], columns[inside]] = point_colors[chosen[inside]]
    return picture


def _orbit(yaw_deg: float, pitch_deg: float) -> NDArray[np.float64]:
    """Rotation of the scene for a viewer who goes around it by yaw and looks down by pitch."""
    yaw, pitch = np.deg2rad(yaw_deg), np.deg2rad(pitch_deg)
    turn = np.array(((np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))))
    tilt = np.array(((1, 0, 0), (0, np.cos(pitch), np.sin(pitch)), (0, -np.sin(pitch), np.cos(pitch))))
    return np.asarray(tilt.T @ turn)


def _mapped(values: NDArray[np.floating], name: str) -> Image:
    levels = np.clip(np.nan_to_num(values) * 255.0, 0, 255).round().astype(np.uint8)
    return _rgb(cv2.applyColorMap(levels, _COLOR_MAPS[name]))


def _rgb(bgr: object) -> Image:
    return np.ascontiguousarray(np.asarray(bgr, np.uint8)[..., ::-1])
