"""What a compression is: its stages' runs, read from YAML."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.config import DataConfig, read_config
from training.data.dataset import VALIDATION_SEED
from training.distill import DistillConfig
from training.errors import TrainingError
from training.prune import PORTS, PruneConfig
from training.stage_config import RunConfig, TeacherConfig, ValidationConfig

__all__ = ["PipelineConfig", "load_pipeline_config", "rehearsal"]


@dataclass(frozen=True)
class PipelineConfig:
    """A compression from teacher to exported model.

    Attributes
    ----------
    name
        Of the exported model.
    student
        Description of the network that is distilled, then pruned.
    data
        Sources of samples by name.
    distil, finetune, finish
        Runs of the distillation, of the fine-tuning after each pruning step, and after the last step in addition.
    init
        Model, shipped or a user's, whole or pruned, whose weights the student begins with; `distil` may be empty then.
    baseline
        Also train the student on ground truth alone with the same runs: what the teacher must beat.
    scratch
        Also train the final pruned architecture from scratch, with as many samples as it saw in all.
    distinct_scenes
        Train on so many procedural scenes over and over, rendered once and kept on disk; 0: every sample a new one.
    first_scene
        Scene of the student's first sample: one that goes on with a finished model begins where its scenes ended.
    """

    name: str
    student: dict[str, Any]
    data: dict[str, DataConfig]
    teacher: TeacherConfig
    distil: list[RunConfig]
    finetune: list[RunConfig]
    validation: ValidationConfig
    finish: list[RunConfig] = field(default_factory=list)
    init: str = ""
    loss: DistillConfig = field(default_factory=DistillConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    baseline: bool = True
    scratch: bool = True
    seed: int = 0
    precision: str = "bf16-mixed"
    cache_gib: float = 0.0
    distinct_scenes: int = 0
    first_scene: int = 0

    def __post_init__(self) -> None:
        kind = self.student.get("type")
        if kind not in PORTS:
            raise TrainingError(f"student.type is {kind!r}; expected one that can be pruned: {', '.join(PORTS)}")
        if not self.distil and not self.init:
            raise TrainingError("distil is empty; expected runs, or init: a model to begin with")
        if not self.distil and (self.baseline or not self.prune.steps):
            raise TrainingError("distil is empty; expected runs, or baseline: false and at least one pruning step")
        if self.first_scene < 0:
            raise TrainingError(f"first_scene is {self.first_scene}; expected at least 0")
        runs = [*self.distil, *self.finetune * self.prune.steps, *self.finish]
        end = self.first_scene + sum(run.samples for run in runs)
        if end > VALIDATION_SEED and any(data.source == "procedural" for data in self.data.values()):
            raise TrainingError(
                f"first_scene and the student's samples make {end}; expected at most {VALIDATION_SEED}, the first held"
                " out"
            )

    def runs(self) -> dict[str, list[RunConfig]]:
        """The lists of runs by their place in the config."""
        return {
            "teacher.runs": self.teacher.runs,
            "distil": self.distil,
            "finetune": self.finetune,
            "finish": self.finish,
        }

    def after_step(self, step: int) -> list[RunConfig]:
        """Runs after a pruning step."""
        return [*self.finetune, *(self.finish if step == self.prune.steps else [])]


def load_pipeline_config(path: Path) -> PipelineConfig:
    """Read a YAML file; a TrainingError names the file and the field."""
    config: PipelineConfig = read_config(PipelineConfig, path)
    return config


def rehearsal(config: PipelineConfig, steps: int) -> PipelineConfig:
    """The same pipeline with `steps` steps in every run and two validation scenes."""

    def short(runs: list[RunConfig]) -> list[RunConfig]:
        return [
            dataclasses.replace(
                run,
                samples=steps * run.optim.batch_size,
                optim=dataclasses.replace(run.optim, decay_samples=0),
            )
            for run in runs
        ]

    return dataclasses.replace(
        config,
        teacher=dataclasses.replace(config.teacher, runs=short(config.teacher.runs)),
        distil=short(config.distil),
        finetune=short(config.finetune),
        finish=short(config.finish),
        validation=dataclasses.replace(config.validation, scenes=2),
    )
