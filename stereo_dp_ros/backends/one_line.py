"""Errors of foreign libraries, as one line."""

from __future__ import annotations

__all__ = ["first_line", "last_line"]


def first_line(error: BaseException) -> str:
    """The first line of the error's message; the name of its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def last_line(error: BaseException) -> str:
    """The last line of the error's message, where OpenVINO says what it is about; its class's name if it has none."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
