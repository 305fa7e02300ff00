"""Errors on bad input. Each message is one line: what was found, what was expected."""

from __future__ import annotations

__all__ = ["BackendError", "CalibrationError", "DataError", "ImageError", "ModelError", "StereoDpError"]


class StereoDpError(ValueError):
    """Base of every error caused by what a user or a camera handed in."""


class ImageError(StereoDpError):
    """An image, or a pair of images, that cannot be used."""


class CalibrationError(StereoDpError):
    """Camera parameters that do not describe a rectified stereo pair."""


class ModelError(StereoDpError):
    """A model that is missing, damaged or of an unknown form."""


class BackendError(StereoDpError):
    """A runtime that is unknown, not installed, or failed."""


class DataError(StereoDpError):
    """A data set, bag or ground-truth file that cannot be used."""
