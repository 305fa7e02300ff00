"""LiDAR in the left image: exact disparity of known points, chains of transforms, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import CALIBRATION, FRAME
from sensors import STAMPS, cloud, transforms, write_pairs_with

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.demo_bags import TOPICS
from stereo_dp_ros.replay.lidar import LidarTruth, project_points
from stereo_dp_ros.replay.transforms import read_static_transforms

NO_TURN = (0.0, 0.0, 0.0, 1.0)
# An optical frame (x right, y down, z ahead) in one with x ahead, y left, z up: (X, Y, Z) → (Z, −X, −Y).
BODY_FROM_OPTICAL = (0.5, -0.5, 0.5, -0.5)


def _pixel_points(depth_m: float) -> np.ndarray:
    """A point at `depth_m` on the centre of each pixel, (48, 3)."""
    rows, columns = np.mgrid[0:6, 0:8]
    x = (columns - CALIBRATION.cx_left_px) * depth_m / CALIBRATION.fx_px
    y = (rows - CALIBRATION.cy_px) * depth_m / CALIBRATION.fy_px
    return np.stack((x, y, np.full_like(x, depth_m)), axis=-1).reshape(-1, 3)


def test_plane_at_two_metres_has_the_disparity_of_two_metres() -> None:
    # f·B = 40·0.125 = 5 px·m, doffs = 1.5 px: 5/2 − 1.5 = 1
    found = project_points(_pixel_points(2.0), CALIBRATION)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.ones((6, 8), np.float32))


def test_the_nearest_of_two_points_on_a_pixel_counts() -> None:
    near, far = _pixel_points(0.5)[:8], _pixel_points(2.0)
    for points in (np.concatenate((near, far)), np.concatenate((far, near))):
        found = project_points(points, CALIBRATION)
        np.testing.assert_array_equal(found[0], np.full(8, 8.5, np.float32))  # 5/0.5 − 1.5
        np.testing.assert_array_equal(found[1:], np.ones((5, 8), np.float32))


def test_points_fall_on_the_nearest_pixel_or_on_none() -> None:
    def at(u: float, v: float) -> tuple[float, float, float]:
        return (u - 3.5) * 1.0 / 40, (v - 2.5) * 1.0 / 41, 1.0

    points = [
        at(2.4, 1.0),
        at(-0.6, 0.0),
        at(7.6, 0.0),
        at(3.0, 5.6),
        (0.0, 0.0, -1.0),
        (np.nan, 0.0, 1.0),
        at(-0.4, 4.6),
    ]
    found = project_points(np.array(points), CALIBRATION)
    assert {(int(v), int(u)) for v, u in np.argwhere(np.isfinite(found))} == {(1, 2), (5, 0)}
    assert found[1, 2] == 3.5  # 5/1 − 1.5


def _lidar(folder: Path, points_m: np.ndarray, *links: Any, stamp: int = STAMPS[1]) -> LidarTruth:
    def extra(bag: BagWriter) -> None:
        for link in links:
            bag.write("/tf_static", transforms(link), STAMPS[0])
        bag.write("/points", cloud(points_m, stamp), stamp)

    return LidarTruth(write_pairs_with(folder / "bag", extra), "/points", TOPICS.left_image)


def test_chain_of_transforms_brings_points_into_the_camera(tmp_path: Path) -> None:
    # base → optical: the camera is 0.25 m ahead and 1 m up; base → mast → lidar: 0.5 m up, then turned by 90° about z
    # and 1 m up.
    s = np.sqrt(0.5)
    optical = _pixel_points(2.0)
    body = np.stack((optical[:, 2] + 0.25, -optical[:, 0], -optical[:, 1] + 1.0), axis=1)
    turned = np.stack((body[:, 1], -body[:, 0], body[:, 2] - 1.5), axis=1)  # a frame turned left sees all turned right
    truth = _lidar(
        tmp_path,
        turned,
        ("base", FRAME, (0.25, 0.0, 1.0), BODY_FROM_OPTICAL),
        ("base", "mast", (0.0, 0.0, 0.5), NO_TURN),
        ("mast", "lidar", (0.0, 0.0, 1.0), (0.0, 0.0, s, s)),
    )
    found = truth.disparity_px(STAMPS[1], CALIBRATION)
    np.testing.assert_allclose(found, np.ones((6, 8)), rtol=0, atol=2e-6)  # the cloud is float32
    assert truth.disparity_px(STAMPS[0], CALIBRATION) is None
    assert truth.description == "LiDAR of /points"
    truth.close()


def test_transform_itself_is_exact(tmp_path: Path) -> None:
    def extra(bag: BagWriter) -> None:
        bag.write("/tf_static", transforms(("/base", FRAME, (0.25, 0.0, 1.0), BODY_FROM_OPTICAL)), STAMPS[0])

    with BagReader(write_pairs_with(tmp_path / "bag", extra)) as bag:
        static = read_static_transforms(bag)
    seen = static.between(FRAME, "base").apply(np.array([[2.25, 3.0, 5.0], [0.25, 0.0, 1.0]]))
    np.testing.assert_array_equal(seen, [[-3.0, -4.0, 2.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(static.between("base", FRAME).apply(seen), [[2.25, 3.0, 5.0], [0.25, 0.0, 1.0]])


def test_scan_counts_for_the_nearest_image_within_the_tolerance(tmp_path: Path) -> None:
    link = (FRAME, "lidar", (0.0, 0.0, 0.0), NO_TURN)
    truth = _lidar(tmp_path, _pixel_points(2.0), link, stamp=STAMPS[2] + 30_000_000)
    assert [truth.disparity_px(stamp, CALIBRATION) is not None for stamp in STAMPS] == [False, False, True, False]
    truth.close()
    with pytest.raises(DataError, match="none of its 1 stamps is that of a left image, expected 50 ms at most"):
        _lidar(tmp_path / "late", _pixel_points(2.0), link, stamp=STAMPS[3] + 50_000_001)


def test_returns_that_are_none_and_scans_out_of_sight_are_no_ground_truth(tmp_path: Path) -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -3.0]])
    truth = _lidar(tmp_path, points, (FRAME, "lidar", (0.0, 0.0, 1.0), NO_TURN))
    assert truth.disparity_px(STAMPS[1], CALIBRATION) is None
    truth.close()


LAYOUTS = {
    "velodyne": [("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4"), ("ring", "u2"), ("time", "f4")],
    "double": [("t", "u4"), ("x", "f8"), ("y", "f8"), ("z", "f8")],
    "other order": [("ring", "u1"), ("z", "f4"), ("y", "f4"), ("x", "f4")],
}
DATATYPES = {"u1": 2, "u2": 4, "u4": 6, "f4": 7, "f8": 8}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_fields_gives_the_same_disparity(tmp_path: Path, layout: str, order: str) -> None:
    """An unordered cloud in an order of its own, with points that did not return, behind a rotated sensor."""
    optical = np.concatenate((_pixel_points(2.0)[24:], [[np.nan] * 3], _pixel_points(0.5)[:8], _pixel_points(1.0)[:4]))
    body = np.stack((optical[:, 2], -optical[:, 0], -optical[:, 1]), axis=1)
    fields = [(name, f"{order}{kind}") for name, kind in LAYOUTS[layout]]
    records = np.ones(len(body), np.dtype(fields))
    for axis, name in enumerate("xyz"):
        records[name] = body[:, axis]
    made = cloud(np.zeros((1, 3)), STAMPS[1])
    kind: Any = type(made.fields[0])
    made.fields = [
        kind(name=name, offset=records.dtype.fields[name][1], datatype=DATATYPES[code], count=1)  # type: ignore[index]
        for name, code in LAYOUTS[layout]
    ]
    made.width, made.point_step = len(records), records.itemsize
    made.row_step = made.width * made.point_step + 5  # drivers pad
    made.is_bigendian, made.data = order == ">", np.frombuffer(records.tobytes() + bytes(5), np.uint8)

    def extra(bag: BagWriter) -> None:
        bag.write("/tf_static", transforms(("lidar", FRAME, (0.0, 0.0, 0.0), BODY_FROM_OPTICAL)), STAMPS[0])
        bag.write("/points", made, STAMPS[1])

    truth = LidarTruth(write_pairs_with(tmp_path / "bag", extra), "/points", TOPICS.left_image)
    found = truth.disparity_px(STAMPS[1], CALIBRATION)
    truth.close()
    expected = np.full((6, 8), np.nan, np.float32)
    expected[0], expected[3:] = 8.5, 1.0  # 5/0.5 − 1.5 hides 5/1 − 1.5; 5/2 − 1.5
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_scan_without_points_is_no_ground_truth(tmp_path: Path) -> None:
    truth = _lidar(tmp_path, np.zeros((0, 3)), (FRAME, "lidar", (0.0, 0.0, 0.0), NO_TURN))
    assert truth.disparity_px(STAMPS[1], CALIBRATION) is None
    truth.close()


def test_transforms_of_many_hops_up_and_down_are_exact(tmp_path: Path) -> None:
    """map → base → head → optical on one side, map → mast → tilted → lidar on the other; quarter turns are exact."""
    half = np.sqrt(0.5)
    links = [
        ("map", "base", (1.0, 2.0, 0.0), (0.0, 0.0, half, half)),  # 90° about z
        ("base", "head", (0.25, 0.0, 1.0), NO_TURN),
        ("head", FRAME, (0.0, 0.5, 0.0), BODY_FROM_OPTICAL),
        ("map", "mast", (0.0, 0.0, 3.0), NO_TURN),
        ("mast", "tilted", (0.0, 0.0, 0.0), (half, 0.0, 0.0, half)),  # 90° about x
        ("tilted", "lidar", (0.0, 0.25, 0.0), NO_TURN),
    ]

    def extra(bag: BagWriter) -> None:
        for link in links:
            bag.write("/tf_static", transforms(link), STAMPS[0])

    with BagReader(write_pairs_with(tmp_path / "bag", extra)) as bag:
        static = read_static_transforms(bag)
    # By hand: lidar (1, 2, 3) → tilted (1, 2.25, 3) → mast (1, −3, 2.25) → map (1, −3, 5.25); from map, base sees
    # R'(0, −5, 5.25) = (−5, 0, 5.25), head (−5.25, 0, 4.25), its optical frame (0.5, −4.25, −5.25).
    found = static.between(FRAME, "lidar").apply(np.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(found, [[0.5, -4.25, -5.25]], rtol=0, atol=1e-12)
    back = static.between("lidar", FRAME).apply(found)
    np.testing.assert_allclose(back, [[1.0, 2.0, 3.0]], rtol=0, atol=1e-12)


def test_missing_transforms_list_the_frames(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        _lidar(
            tmp_path / "a",
            _pixel_points(1.0),
            ("base", FRAME, (0, 0, 0), NO_TURN),
            ("odom", "body", (0, 0, 0), NO_TURN),
        )
    assert str(caught.value).endswith(
        "no static transforms lead from lidar to optical, expected a chain in /tf_static; "
        "it has odom → body, base → optical"
    )
    with pytest.raises(
        DataError, match=r"has no /tf_static \(tf2_msgs/msg/TFMessage\), expected it for LiDAR; it has /p"
    ):
        _lidar(tmp_path / "b", _pixel_points(1.0))
    with pytest.raises(DataError, match="the rotation of lidar in /tf_static is a quaternion of length 0, expected 1"):
        _lidar(tmp_path / "c", _pixel_points(1.0), (FRAME, "lidar", (0, 0, 0), (0, 0, 0, 0)))
    with pytest.raises(DataError, match="the static transforms of .* go around in a circle, expected a tree"):
        _lidar(
            tmp_path / "d", _pixel_points(1.0), ("a", "lidar", (0, 0, 0), NO_TURN), ("lidar", "a", (0, 0, 0), NO_TURN)
        )
    with pytest.raises(
        DataError, match=r"/stereo/left/image_rect \(sensor_msgs/msg/Image\) is missing or of another type"
    ):
        LidarTruth(tmp_path / "a" / "bag", TOPICS.left_image, TOPICS.left_image)
