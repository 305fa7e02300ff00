"""What a stage is: its runs, its teacher, what it is measured on; and the check of all of them before the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stereo_dp_ros.backends import backend_status
from stereo_dp_ros.backends.registry import choices
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.pairs import find_pairs
from training.config import DataConfig, LossConfig, OptimConfig, TrainConfig
from training.errors import TrainingError
from training.sources import WITHOUT_SPLIT, build_scenes, held_out_pairs

__all__ = ["RunConfig", "TeacherConfig", "ValidationConfig", "require_ready"]


@dataclass(frozen=True)
class RunConfig:
    """One run over one source: the source's name in `data`, how many samples, the optimiser."""

    data: str
    samples: int
    optim: OptimConfig = field(default_factory=OptimConfig)


@dataclass(frozen=True)
class TeacherConfig:
    """A teacher; exactly one of `model`, `file` and `network` says which.

    Attributes
    ----------
    model, scale
        A model, shipped or a user's, by name or manifest, for its logits; asked at so many times the images' size.
    file
        Path of a finished one (see `open_teacher`).
    network, runs, loss
        One to be trained.
    """

    model: str = ""
    scale: float = 1.0
    file: str = ""
    network: dict[str, Any] = field(default_factory=dict)
    runs: list[RunConfig] = field(default_factory=list)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        given = [name for name in ("model", "file", "network") if getattr(self, name)]
        if len(given) != 1:
            raise TrainingError(
                f"teacher has {' and '.join(given) or 'none of them'}; expected one of model, file, network"
            )
        if self.scale <= 0 or (self.scale != 1.0 and not self.model):
            raise TrainingError(f"teacher.scale is {self.scale}; expected above 0, and 1 for other than a model")


@dataclass(frozen=True)
class ValidationConfig:
    """What networks are measured on.

    Attributes
    ----------
    data, scenes
        Name of the source, and how many of its samples that are never trained on.
    pairs
        Folder of real pairs; empty for none.
    width_px, height_px
        Size at which latency is measured, multiples of 32.
    runtime
        One of the package's backends in which latency is measured, as deployed; empty for torch, as trained.
    """

    data: str
    scenes: int = 64
    pairs: str = ""
    width_px: int = 640
    height_px: int = 480
    runtime: str = ""

    def __post_init__(self) -> None:
        if self.scenes < 0 or not (self.scenes or self.pairs):
            raise TrainingError(f"validation.scenes is {self.scenes}; expected at least 1, or pairs to measure on")
        if min(self.width_px, self.height_px) < 32 or self.width_px % 32 or self.height_px % 32:
            raise TrainingError(
                f"validation.width_px and height_px are {self.width_px} and {self.height_px}; expected multiples of 32"
            )


def require_ready(data: Mapping[str, DataConfig], runs: Mapping[str, RunConfig], validation: ValidationConfig) -> None:
    """Open every source and look at every run, so that what is wrong is told before anything starts.

    Parameters
    ----------
    runs
        By their place in the config.

    Raises
    ------
    TrainingError
        A name is not in `data`, files are missing, a run does not fit its source, or the runtime cannot be used.
    """
    named = {**{f"{where}.data": run.data for where, run in runs.items()}, "validation.data": validation.data}
    wrong = [f"{where} is {name!r}" for where, name in named.items() if name not in data]
    if wrong:
        raise TrainingError(f"{', '.join(wrong)}; expected one of data: {', '.join(data) or 'none'}")

    def held_out() -> None:
        measured = data[validation.data]
        held_out_pairs(measured, max(1, validation.scenes))
        same = [where for where, run in runs.items() if data[run.data].source == measured.source]
        if validation.scenes and measured.source in WITHOUT_SPLIT and same:
            raise TrainingError(
                f"validation.data is {validation.data!r} and {same[0]} trains on {measured.source} too, of which"
                " nothing is held out; expected another source"
            )

    checks: list[Callable[[], object]] = [partial(build_scenes, source) for source in data.values()]
    checks += [partial(_require_fit, where, run, data[run.data]) for where, run in runs.items()]
    checks += [partial(find_pairs, validation.pairs)] if validation.pairs else []
    checks += [partial(_require_runtime, validation.runtime)] if validation.runtime else []
    problems = [problem for check in [*checks, held_out] if (problem := _problem(check))]
    if problems:
        raise TrainingError("; ".join(dict.fromkeys(problems)))


def _problem(check: Callable[[], object]) -> str:
    try:
        check()
    except StereoDpError as error:
        return str(error)
    return ""


def _require_fit(where: str, run: RunConfig, data: DataConfig) -> None:
    try:
        TrainConfig({}, run.samples, data=data, optim=run.optim)
    except TrainingError as error:
        raise TrainingError(f"{where}: {error}") from error


def _require_runtime(name: str) -> None:
    reasons = [backend_status(choice.info, choice.device) for choice in choices(name)]
    if None not in reasons:
        raise TrainingError(f"validation.runtime {name}: {reasons[0]}")
