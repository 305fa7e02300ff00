"""Command lines of training: one line on stderr for a bad one, as for any bad input."""

from __future__ import annotations

import argparse
import math
import os
from typing import NoReturn

__all__ = ["Parser", "at_least_1", "minutes"]


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


def at_least_1(text: str) -> int:
    """A whole number of at least 1, for `add_argument`."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number of at least 1")
    return int(text)


def minutes(text: str) -> float:
    """A finite number of at least 0, for `add_argument`."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}, expected minutes, 0 or more")
    return value
