"""The error that training raises on bad input. Its message is one line: what was found, what was expected."""

from __future__ import annotations

from stereo_dp_ros.core.errors import StereoDpError

__all__ = ["TrainingError"]


class TrainingError(StereoDpError):
    """A configuration, checkpoint or sample that cannot be used, or a loss that is not finite."""
