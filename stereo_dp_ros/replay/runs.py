"""What a run over a bag leaves beside the recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stereo_dp_ros.replay.messages import CAMERA_INFO, CLOUD, DISPARITY, IMAGE

__all__ = ["OUTPUTS", "Run"]

# names, in the node's namespace, of the outputs that are recorded and checked, and their types
OUTPUTS = {
    "disparity": DISPARITY,
    "depth/image_rect": IMAGE,
    "depth/camera_info": CAMERA_INFO,
    "confidence": IMAGE,
    "points2": CLOUD,
}


@dataclass
class Run:
    """What was seen of a node while a bag was played to it, or of an estimator that ran over one.

    Attributes
    ----------
    published_ns : stamp of each pair → steady time just before its later image was published, or work on it began; of a
        stamp that came again before it was answered, the last
    images : images of the left and the right that were played, with a partner or without; None where not told
    received_ns : stamp of each disparity → steady time at which the recorder had it, or its messages were made
    completed_ns : likewise, of the last of a pair's outputs that were recorded; live only
    infer_ms : stamp of each disparity → time of the estimator alone; empty of a node, which does not tell
    repeated : disparities whose stamp had come before
    counts : recorded messages by topic
    diagnostics : the node's last values
    cpu_percent, memory_mb : of the node while the bag played (100 is one core), its peak; None where not known
    exit_code : of the node, None where there was none
    interrupted : whether Ctrl-C ended it early
    error : in one line, what was wrong where it had to end early, with pairs done before; None where nothing was
    """

    published_ns: dict[int, int] = field(default_factory=dict)
    images: tuple[int, int] | None = None
    received_ns: dict[int, int] = field(default_factory=dict)
    completed_ns: dict[int, int] = field(default_factory=dict)
    infer_ms: dict[int, float] = field(default_factory=dict)
    repeated: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    cpu_percent: float | None = None
    memory_mb: float | None = None
    exit_code: int | None = None
    interrupted: bool = False
    error: str | None = None

    @property
    def played(self) -> tuple[int, int]:
        """Images of the left and the right that were played, those of the pairs where it was not told."""
        return self.images or (len(self.published_ns), len(self.published_ns))

    @property
    def ended_early(self) -> str | None:
        """Why it is of a part of the bag only; None of all of it."""
        return self.error or ("interrupted by Ctrl-C" if self.interrupted else None)
