"""What the pipeline and the ablations are made of: training a network in a folder, and measuring one."""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.evaluation import set_rows
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from stereo_dp_ros.networks import StereoNetwork, build_network
from training.config import DataConfig, LossConfig, OptimConfig, TrainConfig
from training.distill import Distillation, DistillConfig
from training.errors import TrainingError
from training.evaluate import evaluate_pairs
from training.export import count_macs
from training.sources import LaterScenes, build_scenes, held_out_pairs
from training.teacher import CachedTeacher, Teacher
from training.trainer import Trainer

__all__ = ["RunConfig", "ValidationConfig", "Workshop", "latency_ms"]


@dataclass(frozen=True)
class RunConfig:
    """One run over one source: the source's name in `data`, how many samples, the optimiser."""

    data: str
    samples: int
    optim: OptimConfig = field(default_factory=OptimConfig)


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
    """

    data: str
    scenes: int = 64
    pairs: str = ""
    width_px: int = 640
    height_px: int = 480


@dataclass(frozen=True)
class Workshop:
    """Trains and measures; everything in `out` goes on where it was left.

    Attributes
    ----------
    data
        Sources by name.
    should_stop
        Asked after every step; once true, `fit` leaves a checkpoint and returns None.
    cache_gib
        What a teacher's kept answers may take on disk, per run; 0 keeps none.
    """

    out: Path
    data: Mapping[str, DataConfig]
    validation: ValidationConfig
    fabric: Fabric
    should_stop: Callable[[], bool]
    precision: str = "bf16-mixed"
    cache_gib: float = 0.0

    def fit(
        self,
        name: str,
        description: dict[str, Any],
        runs: list[RunConfig],
        loss: LossConfig | DistillConfig,
        *,
        teacher: Teacher | None = None,
        initial: Mapping[str, Tensor] | None = None,
        first_scene: int = 0,
        seed: int = 0,
    ) -> Path | None:
        """Train through `runs`, one after the other; the last checkpoint's path, or None if stopped before its end.

        Parameters
        ----------
        loss
            Ground truth (see `supervised_loss`) or distillation.
        initial
            State to start from; left out, random by the seed.
        first_scene
            Scene of the first sample, so that a fine-tuning goes on in the data where training ended.
        """
        path = None
        for number, run in enumerate(runs):
            config = TrainConfig(description, run.samples, seed, self.precision, self.data[run.data], optim=run.optim)
            scenes = LaterScenes(build_scenes(config.data, seed), first_scene)
            objective = None
            if isinstance(loss, DistillConfig):
                shape = build_network(description)
                kept = self._cached(teacher, config, first_scene) if loss.teacher > 0 else None
                objective = Distillation(loss, kept, shape.bins, shape.bin_px)
            else:
                config = TrainConfig(**{**vars(config), "loss": loss})
            trainer = Trainer(
                config, scenes, self.out / name / f"run{number}", self.fabric, objective=objective, initial=initial
            )
            if trainer.sample + run.optim.batch_size <= run.samples:
                trainer.run(self.should_stop)
            if trainer.sample + run.optim.batch_size <= run.samples:
                return None
            path, initial = trainer.checkpoint_path, trainer.average.network.state_dict()
            first_scene += run.samples
        return path

    def measure(self, network: StereoNetwork) -> dict[str, Any]:
        """`parameters`, `macs_640x480`, `latency_ms`, and metrics by set under `metrics`."""
        pairs: list[PairFolder] = held_out_pairs(self.data[self.validation.data], self.validation.scenes)
        if self.validation.pairs:
            pairs += find_pairs(self.validation.pairs)
        rows = set_rows(evaluate_pairs(network, pairs))
        figures = ("epe", "bad_1", "bad_2", "bad_3", "d1_all")
        return {
            "parameters": sum(p.numel() for p in network.parameters()),
            "macs_640x480": count_macs(copy.deepcopy(network).to("meta")),
            "latency_ms": round(latency_ms(network, self.validation.width_px, self.validation.height_px), 2),
            "latency_size": f"{self.validation.width_px}x{self.validation.height_px}, torch eager f32",
            "metrics": {
                row["name"]: {"scenes": row["scenes"], **{m: round(row[m], 4) for m in figures}} for row in rows
            },
        }

    def _cached(self, teacher: Teacher | None, config: TrainConfig, first_scene: int) -> Teacher | None:
        if teacher is None or self.cache_gib == 0:
            return teacher
        samples = json.dumps([asdict(config.data), config.seed, first_scene], sort_keys=True, default=str)
        identity = hashlib.sha256(samples.encode()).hexdigest()[:16]
        return CachedTeacher(teacher, self.out / "teacher_answers", identity, self.cache_gib * 2**30)


def require_sources(data: Mapping[str, DataConfig], named: Mapping[str, str]) -> None:
    """Open every source, so that what is missing is told before anything starts.

    Parameters
    ----------
    named
        Where in the config a source is named, and the name.

    Raises
    ------
    StereoDpError
        A name is not in `data`, or files of a source are missing.
    """
    wrong = [f"{where} is {name!r}" for where, name in named.items() if name not in data]
    if wrong:
        raise TrainingError(f"{', '.join(wrong)}; expected one of data: {', '.join(data) or 'none'}")
    problems = []
    for source in data.values():
        try:
            build_scenes(source)
        except StereoDpError as error:
            problems.append(str(error))
    if problems:
        raise TrainingError("; ".join(problems))


def latency_ms(network: StereoNetwork, width_px: int, height_px: int, repeats: int = 7) -> float:
    """Median time of a forward pass in evaluation mode on the network's device, after one to warm up."""
    image = torch.zeros(1, 3, height_px, width_px, device=next(network.parameters()).device)
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            float(network.eval()(image, image).disparity.sum())  # reading a value waits for a GPU
            times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[1:])
