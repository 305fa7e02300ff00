"""Search for the highest rate at which a node still answers nearly every pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.runs import Run

__all__ = ["DROP_LIMIT_PERCENT", "HighestRate", "Trial", "find_highest_rate", "trial_of"]

DROP_LIMIT_PERCENT = 5.0
_STEP = 2.0  # between trials until one holds and one does not
_MOST_STEPS = 8
_ACCURACY = 1.1  # the search ends when the lowest rate that fails is at most this times the highest that holds
_PLAYED = 0.8  # of the asked rate; a player that reaches less than that is what limits
_FEWEST_PAIRS = 10


@dataclass(frozen=True)
class Trial:
    """One run: the rate that was asked for and reached, how many pairs counted, and how many were not answered."""

    asked_hz: float
    rate_hz: float
    pairs: int
    drop_percent: float

    @property
    def holds(self) -> bool:
        """Whether fewer than DROP_LIMIT_PERCENT were dropped."""
        return self.drop_percent < DROP_LIMIT_PERCENT


@dataclass(frozen=True)
class HighestRate:
    """The best trial that held, None if none did, and all trials; `player_limited` if pairs could not come faster."""

    best: Trial | None
    trials: list[Trial]
    player_limited: bool

    def to_dict(self) -> dict[str, Any]:
        """What report.json holds."""
        return {
            "rate_hz": None if self.best is None else self.best.rate_hz,
            "drop_limit_percent": DROP_LIMIT_PERCENT,
            "player_limited": self.player_limited,
            "trials": [vars(trial) for trial in self.trials],
        }


def find_highest_rate(run_at: Callable[[float], Trial | None], first_hz: float) -> HighestRate:
    """Double or halve the rate until one holds and one does not, then go to their geometric mean.

    Parameters
    ----------
    run_at : runs a trial at a rate in Hz; None ends the search with what was found until then
    first_hz : where to begin
    """
    trials: list[Trial] = []
    next_hz: float | None = first_hz
    while next_hz is not None and (trial := run_at(next_hz)) is not None:
        trials.append(trial)
        next_hz = None if _is_player_limited(trial) else _next_rate_hz(trials)
    held = [trial for trial in trials if trial.holds]
    best = max(held, key=lambda trial: trial.rate_hz, default=None)
    return HighestRate(best, trials, bool(trials) and _is_player_limited(trials[-1]))


def _is_player_limited(trial: Trial) -> bool:
    return trial.holds and trial.rate_hz < _PLAYED * trial.asked_hz


def _next_rate_hz(trials: Sequence[Trial]) -> float | None:
    """Rate to try after these, None where they are enough."""
    low_hz = max((trial.asked_hz for trial in trials if trial.holds), default=0.0)
    high_hz = min((trial.asked_hz for trial in trials if not trial.holds), default=math.inf)
    if low_hz > 0 and high_hz < math.inf:
        return None if high_hz <= low_hz * _ACCURACY else math.sqrt(low_hz * high_hz)
    if len(trials) > _MOST_STEPS:
        return None
    return low_hz * _STEP if low_hz else high_hz / _STEP


def trial_of(run: Run, asked_hz: float) -> Trial:
    """What a run says of a rate: pairs count from when the first answer was there, which warms the network up.

    Raises
    ------
    DataError
        No answer came, or too few pairs after the first one to tell.
    """
    if not run.received_ns:
        raise DataError(f"the node answered none of {len(run.published_ns)} pairs at {asked_hz:.3g} Hz")
    warm_ns = min(run.received_ns.values())
    counted = {stamp: at_ns for stamp, at_ns in run.published_ns.items() if at_ns >= warm_ns}
    if len(counted) < _FEWEST_PAIRS:
        raise DataError(
            f"{len(counted)} pairs came after the first answer at {asked_hz:.3g} Hz, expected at least "
            f"{_FEWEST_PAIRS} to find the highest rate (a longer bag)"
        )
    times_ns = sorted(counted.values())
    rate_hz = (len(times_ns) - 1) * 1e9 / (times_ns[-1] - times_ns[0])
    missing = sum(stamp not in run.received_ns for stamp in counted)
    return Trial(asked_hz, rate_hz, len(counted), 100.0 * missing / len(counted))
