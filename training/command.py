"""Command lines of training: one line on stderr for a bad one, as for any bad input."""

from __future__ import annotations

import argparse
import math
import os
from typing import NoReturn

__all__ = ["Parser", "above_0", "at_least_0", "at_least_1", "minutes"]


class Parser(argparse.ArgumentParser):
    """Parser of `python -m training.NAME`, described as it is written."""

    def __init__(self, name: str, description: str | None) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=f"training.{name}", description=description, formatter_class=formatter)

    def add_run_options(self) -> None:
        """Add --max-minutes, --threads and --accelerator."""
        self.add_argument("--max-minutes", type=minutes, help="stop after so long, with everything saved")
        threads = os.cpu_count() or 1
        self.add_argument("--threads", type=at_least_1, default=threads, help="CPU threads of torch (%(default)s)")
        self.add_argument("--accelerator", default="auto", help="of Lightning Fabric (%(default)s)")

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one line."""
        self.exit(2, f"{self.prog}: {message} (see python -m {self.prog} --help)\n")


def at_least_0(text: str) -> int:
    """A whole number of at least 0, for `add_argument`."""
    return _whole(text, 0)


def at_least_1(text: str) -> int:
    """A whole number of at least 1, for `add_argument`."""
    return _whole(text, 1)


def above_0(text: str) -> float:
    """A finite number above 0, for `add_argument`."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number above 0")
    return value


def minutes(text: str) -> float:
    """A finite number of at least 0, for `add_argument`."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}, expected minutes, 0 or more")
    return value


def _whole(text: str, least: int) -> int:
    if not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number of at least {least}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
