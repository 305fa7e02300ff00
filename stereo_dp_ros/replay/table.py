"""The figures of every frame as a CSV file, for spreadsheets and plots of one's own."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.report import Report

__all__ = ["write_csv"]


def write_csv(report: Report, path: Path) -> None:
    """Write one row for each frame of each bag, with the figures that report.json has; unknown ones are empty.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    rows = [{"bag": bag.name, **row} for bag in report.bags for row in bag.frame_rows()]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value
