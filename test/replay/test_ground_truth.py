"""Ground truth from topics and folders: exact values, and one line for what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up import CALIBRATION, FRAME, TRUTH_PX
from sensors import SECOND, STAMPS, write_images, write_pairs_with

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import write_disparity
from stereo_dp_ros.replay import messages
from stereo_dp_ros.replay.bag import BagWriter
from stereo_dp_ros.replay.demo_bags import TOPICS
from stereo_dp_ros.replay.ground_truth import match_stamps
from stereo_dp_ros.replay.truth_folder import FolderTruth
from stereo_dp_ros.replay.truth_topics import TopicTruth

LEFT = TOPICS.left_image
Extra = Callable[[BagWriter], object]


def _from_topic(folder: Path, topic: str, extra: Extra, stamp: int = STAMPS[1]) -> np.ndarray | None:
    truth = TopicTruth(write_pairs_with(folder / "bag", extra), topic, LEFT)
    found = truth.disparity_px(stamp, CALIBRATION)
    truth.close()
    return found


def test_each_image_takes_the_nearest_stamp_and_each_stamp_one_image() -> None:
    images = [0, 100, 200, 300, 400]
    truths = [10, 98, 103, 249, 251, 460]
    assert match_stamps("x", truths, images, 60) == {0: 10, 100: 98, 200: 249, 300: 251, 400: 460}
    assert match_stamps("x", truths, images, 20) == {0: 10, 100: 98}
    assert match_stamps("x", [7], [5], 2) == {5: 7}


def test_stamps_that_never_match_are_told_with_the_nearest() -> None:
    told = (
        "x: none of its 2 stamps is that of a left image, expected 1 ms at most; "
        "nearest: 102000000 is 2.5 ms from the image of 99500000"
    )
    with pytest.raises(DataError) as caught:
        match_stamps("x", [102_000_000, 900_000_000], [0, 99_500_000], 1_000_000)
    assert str(caught.value) == told
    for truths, images, what in (([], [1], "ground truth"), ([1], [], "left image")):
        with pytest.raises(DataError, match=f"x: there is no {what}, expected at least one"):
            match_stamps("x", truths, images, 1)


def test_disparity_image_is_taken_without_doffs(tmp_path: Path) -> None:
    truth_px = TRUTH_PX.copy()
    truth_px[2, 3] = np.nan

    def extra(bag: BagWriter) -> None:
        for stamp in STAMPS:
            bag.write("/gt", messages.disparity_message(truth_px, CALIBRATION, stamp, FRAME), stamp)

    found = _from_topic(tmp_path, "/gt", extra)
    np.testing.assert_array_equal(found, truth_px)  # eighths and a doffs of 1.5 are exact in float32


def test_image_of_disparity_is_plain(tmp_path: Path) -> None:
    pixels = TRUTH_PX.copy()
    pixels[0, :4] = (0, -1, np.inf, np.nan)
    found = _from_topic(tmp_path, "/gt/disp", lambda bag: write_images(bag, "/gt/disp", pixels, "32FC1"))
    assert found is not None
    assert np.isnan(found[0, :4]).all()
    np.testing.assert_array_equal(found[1:], TRUTH_PX[1:])


@pytest.mark.parametrize(("encoding", "scale", "dtype"), [("32FC1", 1.0, np.float32), ("16UC1", 1000.0, np.uint16)])
def test_depth_becomes_disparity(tmp_path: Path, encoding: str, scale: float, dtype: type) -> None:
    # f·B = 40·0.125 = 5 px·m and doffs = 1.5 px: 2 m is 1 px, 0.5 m is 8.5 px
    depth = np.full((6, 8), 2.0 * scale).astype(dtype)
    depth[3, 4], depth[5, 0] = 0.5 * scale, 0
    found = _from_topic(tmp_path, "/d/Depth", lambda bag: write_images(bag, "/d/Depth", depth, encoding))
    assert found is not None
    expected = np.full((6, 8), 1.0, np.float32)
    expected[3, 4], expected[5, 0] = 8.5, np.nan
    np.testing.assert_array_equal(found, expected)


def test_stamps_without_ground_truth_have_none_and_order_does_not_matter(tmp_path: Path) -> None:
    def extra(bag: BagWriter) -> None:
        for index in (2, 0):  # written the other way round
            stamp = STAMPS[index]
            pixels = TRUTH_PX + np.float32(index)
            bag.write("/gt/disp", messages.image_message(pixels, "32FC1", stamp, FRAME), STAMPS[0] + 2 - index)

    truth = TopicTruth(write_pairs_with(tmp_path / "bag", extra), "/gt/disp", LEFT)
    for index, expected_px in ((0, 4.0), (1, None), (2, 6.0), (3, None), (0, 4.0)):
        found = truth.disparity_px(STAMPS[index], CALIBRATION)
        assert (None if found is None else found[0, 0]) == expected_px
    truth.close()


def test_the_first_of_two_messages_of_one_stamp_counts(tmp_path: Path) -> None:
    def extra(bag: BagWriter) -> None:
        for index, added in ((0, 0), (0, 1), (2, 2)):
            pixels = TRUTH_PX + np.float32(added)
            bag.write("/gt/disp", messages.image_message(pixels, "32FC1", STAMPS[index], FRAME), STAMPS[index] + added)

    truth = TopicTruth(write_pairs_with(tmp_path / "bag", extra), "/gt/disp", LEFT)
    for index, expected_px in ((0, 4.0), (2, 6.0)):
        found = truth.disparity_px(STAMPS[index], CALIBRATION)
        assert found is not None
        assert found[0, 0] == expected_px
    truth.close()


@pytest.mark.parametrize(
    ("topic", "pixels", "encoding", "told"),
    [
        ("/gt/disp", np.ones((4, 8), np.float32), "32FC1", "ground truth is 8x4, expected 8x6 as the left image"),
        ("/gt/disp", np.ones((6, 8), np.uint8), "mono8", "image has encoding 'mono8', expected 32FC1"),
        ("/gt/depth", np.ones((6, 8), np.uint8), "mono8", "image has encoding 'mono8', expected 32FC1"),
        ("/gt/depth", np.ones((3, 3), np.uint16), "16UC1", "ground truth is 3x3, expected 8x6 as the left image"),
    ],
)
def test_images_that_do_not_fit_are_told(
    tmp_path: Path, topic: str, pixels: np.ndarray, encoding: str, told: str
) -> None:
    with pytest.raises(DataError) as caught:
        _from_topic(tmp_path, topic, lambda bag: write_images(bag, topic, pixels, encoding))
    assert f"bag: {topic} at {STAMPS[1]}: " in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_topics_that_cannot_be_ground_truth_are_told(tmp_path: Path) -> None:
    def extra(bag: BagWriter) -> None:
        write_images(bag, "/thing", TRUTH_PX, "32FC1")
        write_images(bag, "/disp", TRUTH_PX, "32FC1", [STAMPS[3] + SECOND])

    path = write_pairs_with(tmp_path / "bag", extra)
    cases = {
        "/nothing": "has no /nothing for ground truth; it has /disp (sensor_msgs/msg/Image, 1)",
        "/thing": "/thing holds images of what?, expected 'disp' or 'depth' in the name",
        TOPICS.left_info: "is sensor_msgs/msg/CameraInfo, expected stereo_msgs/msg/DisparityImage or",
        "/disp": "/disp: none of its 1 stamps is that of a left image, expected 1 ms at most; nearest: "
        f"{STAMPS[3] + SECOND} is 1000 ms from the image of {STAMPS[3]}",
    }
    for topic, told in cases.items():
        with pytest.raises(DataError) as caught:
            TopicTruth(path, topic, LEFT)
        assert told in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        [f"{STAMPS[0]}.png", f"{STAMPS[2]}.pfm", f"{STAMPS[3]}.npy"],
        ["100.000000.png", "100.200.pfm", "100.300000001.npy"],
        ["100.png", "100.2.pfm", "100.3.npy"],
    ],
)
def test_folder_is_named_by_stamps_in_ns_or_s(tmp_path: Path, names: list[str]) -> None:
    path = write_pairs_with(tmp_path / "bag", lambda bag: None)
    folder = tmp_path / "truth"
    folder.mkdir()
    truth_px = TRUTH_PX.copy()
    truth_px[1, 1] = np.nan
    for index, name in enumerate(names):
        write_disparity(folder / name, truth_px + np.float32(index))
    (folder / "README.md").write_text("left alone")
    truth = FolderTruth(folder, path, LEFT)
    for stamp, added in ((STAMPS[0], 0), (STAMPS[2], 1), (STAMPS[3], 2)):
        np.testing.assert_array_equal(truth.disparity_px(stamp, CALIBRATION), truth_px + np.float32(added))
    assert truth.disparity_px(STAMPS[1], CALIBRATION) is None
    assert truth.description == f"disparity files in {folder}"


def test_folders_that_do_not_fit_are_told(tmp_path: Path) -> None:
    path = write_pairs_with(tmp_path / "bag", lambda bag: None)
    for name, file, told in (
        ("empty", None, "holds no .png, .pfm, .npy file, expected ground truth named by stamp"),
        ("kitti", "000000_10.png.npy", "is not named by a stamp, expected ns or s"),
        ("late", "7.25.npy", f"nearest: 7250000000 is 92750 ms from the image of {STAMPS[0]}"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        if file is not None:
            np.save(folder / file, TRUTH_PX)
        with pytest.raises(DataError) as caught:
            FolderTruth(folder, path, LEFT)
        assert told in str(caught.value)
        assert str(folder) in str(caught.value)
    small = tmp_path / "small"
    small.mkdir()
    np.save(small / f"{STAMPS[0]}.npy", np.ones((2, 3), np.float32))
    truth = FolderTruth(small, path, LEFT)
    with pytest.raises(DataError, match=rf"{STAMPS[0]}\.npy: ground truth is 3x2, expected 8x6 as the left image"):
        truth.disparity_px(STAMPS[0], CALIBRATION)
