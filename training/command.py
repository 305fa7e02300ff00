"""Command lines of training: one line on stderr for a bad one, as for any bad input."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """Parser of `python -m training.NAME`, described as it is written."""

    def __init__(self, name: str, description: str | None) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=f"training.{name}", description=description, formatter_class=formatter)

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one line."""
        self.exit(2, f"{self.prog}: {message} (see python -m {self.prog} --help)\n")
