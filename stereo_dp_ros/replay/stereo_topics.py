"""The topics of a stereo pair in a bag: found by type and name, or told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.messages import CAMERA_INFO, COMPRESSED_IMAGE, DISPARITY, IMAGE

__all__ = ["StereoTopics", "find_stereo_topics", "named_stereo_topics"]

_COMPRESSED_SUFFIX = "/compressed"
_LEFT_RIGHT = (("left", "right"), ("cam0", "cam1"), ("infra1", "infra2"))


@dataclass(frozen=True)
class StereoTopics:
    """Names of one pair's topics in a bag, and how its images are to be taken.

    Attributes
    ----------
    ground_truth : None where there is none
    rectified : whether the images are; None lets their name tell
    sync_tolerance_ns : stamps of a pair differ by less than this; None pairs equal stamps only
    """

    left_image: str
    right_image: str
    left_info: str
    right_info: str
    ground_truth: str | None = None
    rectified: bool | None = None
    sync_tolerance_ns: int | None = None

    @property
    def inputs(self) -> tuple[str, str, str, str]:
        """What a node subscribes to."""
        return self.left_info, self.right_info, self.left_image, self.right_image

    @property
    def images(self) -> tuple[str, str]:
        """The left and the right image's topic."""
        return self.left_image, self.right_image

    @property
    def is_compressed(self) -> bool:
        """Whether the images are JPEG or PNG."""
        return self.left_image.endswith(_COMPRESSED_SUFFIX)

    @property
    def is_raw(self) -> bool:
        """Whether the images still have to be rectified."""
        if self.rectified is not None:
            return not self.rectified
        return "rect" not in _plain(self.left_image).rpartition("/")[2]

    def without_ground_truth(self) -> StereoTopics:
        """The same pair, not to be scored."""
        return replace(self, ground_truth=None)


def find_stereo_topics(bag: BagReader) -> list[StereoTopics]:
    """Every stereo pair in a bag, rectified ones first, and images before compressed ones.

    A pair is two Image or CompressedImage topics whose names differ in left/right (cam0/cam1, infra1/infra2), each with
    a camera_info beside it; ground truth is a DisparityImage topic with ``ground_truth`` in its name.

    Raises
    ------
    DataError
        There is no pair; the message lists the topics.
    """
    images = sorted(
        (topic for topic, kind in bag.topics.items() if kind in (IMAGE, COMPRESSED_IMAGE) and bag.counts[topic]),
        key=lambda topic: ("rect" not in topic, bag.topics[topic] == COMPRESSED_IMAGE, topic),
    )
    pairs, alone = [], []
    for left in images:
        right = _other_side(left, images)
        if right is None:
            continue
        topics = _with_ground_truth(bag, StereoTopics(left, right, _info_beside(left), _info_beside(right)))
        missing = [t for t in (topics.left_info, topics.right_info) if not _has_messages(bag, t, CAMERA_INFO)]
        if missing:
            alone.append(f"{left} and {right} have no {', '.join(missing)} ({CAMERA_INFO})")
        else:
            pairs.append(topics)
    if not pairs:
        found = f" ({'; '.join(alone)})" if alone else ""
        raise DataError(
            f"{bag.path}: no stereo pair{found}, expected two {IMAGE} or {COMPRESSED_IMAGE} topics with messages, "
            f"named alike but for left/right, each with camera_info beside it; it has {bag.describe()}"
        )
    return pairs


def named_stereo_topics(
    bag: BagReader, left_image: str, right_image: str, left_info: str | None = None, right_info: str | None = None
) -> StereoTopics:
    """The pair of these topics; camera_info is the one beside its image where it is not named.

    Raises
    ------
    DataError
        A topic is missing, empty or of another type; the message lists those that there are.
    """
    topics = StereoTopics(
        left_image, right_image, left_info or _info_beside(left_image), right_info or _info_beside(right_image)
    )
    kinds = (CAMERA_INFO, CAMERA_INFO, *[_image_kind(bag, topic) for topic in topics.images])
    bag.require(dict(zip(topics.inputs, kinds, strict=True)))
    empty = [topic for topic in topics.inputs if not bag.counts[topic]]
    if empty:
        raise DataError(f"{bag.path}: {', '.join(empty)} has no messages, expected some; it has {bag.describe()}")
    return _with_ground_truth(bag, topics)


def _image_kind(bag: BagReader, topic: str) -> str:
    return COMPRESSED_IMAGE if bag.topics.get(topic) == COMPRESSED_IMAGE else IMAGE


def _has_messages(bag: BagReader, topic: str, kind: str) -> bool:
    return bag.topics.get(topic) == kind and bag.counts[topic] > 0


def _info_beside(image: str) -> str:
    return f"{_plain(image).rpartition('/')[0]}/camera_info"


def _plain(image: str) -> str:
    return image.removesuffix(_COMPRESSED_SUFFIX)


def _with_ground_truth(bag: BagReader, topics: StereoTopics) -> StereoTopics:
    """The pair with the ground truth of its namespace."""
    truths = [topic for topic in bag.topics if "ground_truth" in topic and _has_messages(bag, topic, DISPARITY)]
    namespace = topics.left_image[: _common_length(*topics.images)].rpartition("/")[0]
    return replace(topics, ground_truth=next((t for t in truths if t.partition("/ground_truth")[0] == namespace), None))


def _other_side(topic: str, topics: Sequence[str]) -> str | None:
    """The right topic of a left one."""
    for left_word, right_word in _LEFT_RIGHT:
        if left_word in topic and topic.replace(left_word, right_word) in topics:
            return topic.replace(left_word, right_word)
    return None


def _common_length(first: str, second: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first))
