"""Ground truth from LiDAR: a cloud seen from the left camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.decoding import cloud_points
from stereo_dp_ros.replay.matched_messages import MatchedMessages
from stereo_dp_ros.replay.messages import CLOUD
from stereo_dp_ros.replay.transforms import StaticTransforms, Transform, read_static_transforms

__all__ = ["LidarTruth", "project_points"]

_NEAR_NS = 50_000_000  # half the period of the usual 10 Hz


def project_points(points_m: NDArray[np.floating], calibration: StereoCalibration) -> NDArray[np.float32]:
    """Disparity of the left image's pixels that points fall on.

    A point falls on the pixel whose centre is nearest to (fx·X/Z + cx_left, fy·Y/Z + cy); of several on one pixel the
    nearest to the camera counts. Points behind the camera and outside of the image fall on none.

    Parameters
    ----------
    points_m : (N, 3) in the left optical frame: x right, y down, z ahead

    Returns
    -------
    disparity_px : float32 (H, W), plain d = fx·B / Z − doffs, NaN where no point falls
    """
    points = np.asarray(points_m, np.float64)
    points = points[np.isfinite(points).all(axis=1) & (points[:, 2] > 0)]
    depth_m = points[:, 2]
    columns = np.floor(calibration.fx_px * points[:, 0] / depth_m + calibration.cx_left_px + 0.5)
    rows = np.floor(calibration.fy_px * points[:, 1] / depth_m + calibration.cy_px + 0.5)
    width, height = calibration.width_px, calibration.height_px
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    nearest_m = np.full(height * width, np.inf)
    np.minimum.at(nearest_m, (rows[inside] * width + columns[inside]).astype(np.int64), depth_m[inside])
    nearest_m[np.isinf(nearest_m)] = np.nan
    disparity_px = calibration.fx_px * calibration.baseline_m / nearest_m - calibration.doffs_px
    return disparity_px.reshape(height, width).astype(np.float32)


class LidarTruth:
    """A topic of PointCloud2 in a frame that static transforms connect with the left image's.

    The left image's frame is taken for the rectified camera's optical frame, as image_geometry does. A scan counts for
    the image whose stamp is nearest; the scene is taken to stand still between the two. Points that the LiDAR sees
    past an edge, and the camera does not, are not told apart unless a nearer one falls on the same pixel.

    Parameters
    ----------
    path : the bag
    left_topic : the images that it is projected into
    tolerance_ns : how far apart the stamps of a scan and its image may be

    Raises
    ------
    DataError
        The topic is missing or of another type, its stamps never match, or no static transforms lead to the camera.
    """

    def __init__(self, path: Path, topic: str, left_topic: str, tolerance_ns: int = _NEAR_NS) -> None:
        self._path, self._topic = path, topic
        with BagReader(path) as bag:
            bag.require({topic: CLOUD})
            self._transforms: StaticTransforms = read_static_transforms(bag)
        self._clouds = MatchedMessages(path, topic, left_topic, tolerance_ns)
        self.first_image_ns = self._clouds.first_image_ns
        self._to_camera: dict[str, Transform] = {}
        self._transform_from(self._clouds.frame_id)
        self.description = f"LiDAR of {topic}"

    def disparity_px(self, stamp_ns: int, calibration: StereoCalibration) -> NDArray[np.float32] | None:
        """See `GroundTruth`; None too where no point falls into the image."""
        cloud = self._clouds.find(stamp_ns)
        if cloud is None:
            return None
        to_camera = self._transform_from(str(cloud.header.frame_id))
        try:
            points = cloud_points(cloud).reshape(-1, 3)
        except DataError as error:
            raise DataError(f"{self._path}: {self._topic} at {stamp_ns}: {error}") from error
        returned = points[(points != 0).any(axis=1)]  # (0, 0, 0) is how drivers write that nothing came back
        truth_px = project_points(to_camera.apply(returned), calibration)
        return truth_px if np.isfinite(truth_px).any() else None

    def close(self) -> None:
        """Close the bag."""
        self._clouds.close()

    def _transform_from(self, frame: str) -> Transform:
        if frame not in self._to_camera:
            self._to_camera[frame] = self._transforms.between(self._clouds.left_frame_id, frame)
        return self._to_camera[frame]
