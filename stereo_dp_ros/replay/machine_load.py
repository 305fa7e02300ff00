"""How much of the machine other processes took while something was timed."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["MachineLoad"]

_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # of /proc/stat: user, nice, system, irq, softirq, steal; not idle and iowait
_FIELDS = 8


class MachineLoad:
    """Processor time from its making on: the machine's, and this process's with its ended children."""

    def __init__(self) -> None:
        self._begin = _processor_s()

    def others_percent(self) -> float | None:
        """Share of the machine's processor time that other processes took; None where /proc does not tell."""
        end = _processor_s()
        if self._begin is None or end is None:
            return None
        total_s, busy_s, own_s = (after - before for before, after in zip(self._begin, end, strict=True))
        return 100.0 * max(0.0, busy_s - own_s) / total_s if total_s > 0 else None


def _processor_s() -> tuple[float, float, float] | None:
    """Processor time of all cores, what of it was busy, and what of that was ours."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split(maxsplit=_FIELDS + 1)[1 : _FIELDS + 1]]
    except (OSError, ValueError):
        return None
    per_s = os.sysconf("SC_CLK_TCK")
    own = os.times()
    own_s = own.user + own.system + own.children_user + own.children_system
    return sum(ticks) / per_s, sum(ticks[field] for field in _BUSY_FIELDS) / per_s, own_s
