"""What the pipeline and the ablations are made of: training a network in a folder, and measuring one."""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from stereo_dp_ros.backends import backend_status, create_backend
from stereo_dp_ros.backends.registry import choices
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.evaluation import SceneScore, score_pairs, set_rows
from stereo_dp_ros.core.models import Manifest, Model
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from stereo_dp_ros.networks import StereoNetwork, build_network, describe_network
from stereo_dp_ros.networks.dtpnet import DtpNetwork
from training.config import DataConfig, LossConfig, OptimConfig, TrainConfig
from training.distill import Distillation, DistillConfig
from training.errors import TrainingError
from training.evaluate import evaluate_pairs
from training.export import count_macs
from training.kept_scenes import KeptScenes
from training.loader import SceneSource
from training.onnx_export import export_onnx
from training.sources import WITHOUT_SPLIT, LaterScenes, build_scenes, held_out_pairs, scene_config
from training.teacher import (
    CachedTeacher,
    EstimatorTeacher,
    NetworkTeacher,
    Teacher,
    model_network,
    open_teacher,
    scaled,
)
from training.trainer import Trainer

__all__ = ["RunConfig", "TeacherConfig", "ValidationConfig", "Workshop", "latency_ms", "require_ready"]


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
    distinct_scenes
        Train on so many procedural scenes over and over, rendered once and kept on disk; 0: every sample a new one.
    """

    out: Path
    data: Mapping[str, DataConfig]
    validation: ValidationConfig
    fabric: Fabric
    should_stop: Callable[[], bool]
    precision: str = "bf16-mixed"
    cache_gib: float = 0.0
    distinct_scenes: int = 0

    def teacher(self, config: TeacherConfig, seed: int = 0) -> Teacher | None:
        """The teacher, after its training if it has one; None if that was stopped before its end."""
        device = self.fabric.device
        if config.model:
            return NetworkTeacher(scaled(model_network(config.model), config.scale), device)
        if config.file:
            return open_teacher(Path(config.file), device)
        described = describe_network(build_network(config.network))
        path = self.fit("teacher", described, config.runs, config.loss, seed=seed)
        return None if path is None else open_teacher(path, device)

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
            scenes = LaterScenes(self._scenes(config.data, seed), first_scene)
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
            if isinstance(trainer.network, DtpNetwork):
                trainer.network.fine = not isinstance(loss, DistillConfig) or loss.ground_truth > 0
            if trainer.sample + run.optim.batch_size <= run.samples:
                trainer.run(self.should_stop)
            if trainer.sample + run.optim.batch_size <= run.samples:
                return None
            path, initial = trainer.checkpoint_path, trainer.average.network.state_dict()
            first_scene += run.samples
        return path

    def measure(self, network: StereoNetwork) -> dict[str, Any]:
        """`parameters`, `macs_640x480`, `latency_ms`, and metrics by set under `metrics`."""
        return {
            "parameters": sum(p.numel() for p in network.parameters()),
            "macs_640x480": count_macs(copy.deepcopy(network).to("meta")),
            **self._latency(network),
            "metrics": _figures(evaluate_pairs(network, self._pairs())),
        }

    def measure_teacher(self, teacher: Teacher) -> dict[str, Any]:
        """Metrics by set under `metrics`; nothing of a teacher of one's own, which is only ever asked for logits."""
        if isinstance(teacher, NetworkTeacher):
            return {"metrics": _figures(evaluate_pairs(teacher.network, self._pairs()))}
        if isinstance(teacher, EstimatorTeacher):
            return {"metrics": _figures(list(score_pairs(teacher.estimator.infer, self._pairs())))}
        return {}

    def _latency(self, network: StereoNetwork) -> dict[str, Any]:
        width, height = self.validation.width_px, self.validation.height_px
        if self.validation.runtime:
            milliseconds, runtime = runtime_latency_ms(network, self.validation.runtime, width, height)
        else:
            milliseconds, runtime = latency_ms(network, width, height), "torch eager f32"
        return {"latency_ms": round(milliseconds, 2), "latency_size": f"{width}x{height}, {runtime}"}

    def _pairs(self) -> list[PairFolder]:
        pairs = held_out_pairs(self.data[self.validation.data], self.validation.scenes)
        return [*pairs, *(find_pairs(self.validation.pairs) if self.validation.pairs else [])]

    def _scenes(self, data: DataConfig, seed: int) -> SceneSource:
        scenes = build_scenes(data, seed)
        if self.distinct_scenes == 0 or data.source != "procedural":
            return scenes
        shape = scene_config(data)
        path = self.out / "scenes" / f"{shape.identity()}-{self.distinct_scenes}.bin"
        return KeptScenes(scenes, path, self.distinct_scenes, shape.height_px, shape.width_px)

    def _cached(self, teacher: Teacher | None, config: TrainConfig, first_scene: int) -> Teacher | None:
        if teacher is None or self.cache_gib == 0:
            return teacher
        of_sample: list[Any] = [asdict(config.data), config.seed, first_scene]
        if config.data.source == "procedural":
            of_sample.append(scene_config(config.data).identity())
        if config.data.reuse > 1:  # which scene a sample shows depends on it then
            of_sample.append(config.optim.batch_size)
        samples = json.dumps(of_sample, sort_keys=True, default=str)
        identity = hashlib.sha256(samples.encode()).hexdigest()[:16]
        return CachedTeacher(teacher, self.out / "teacher_answers", identity, self.cache_gib * 2**30)


def _figures(scores: list[SceneScore]) -> dict[str, Any]:
    names = ("epe", "bad_1", "bad_2", "bad_3", "d1_all")
    rows = set_rows(scores)
    return {row["name"]: {"scenes": row["scenes"], **{m: round(row[m], 4) for m in names}} for row in rows}


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


def latency_ms(network: StereoNetwork, width_px: int, height_px: int) -> float:
    """Median time of a forward pass in evaluation mode on the network's device, after one to warm up."""
    image = torch.zeros(1, 3, height_px, width_px, device=next(network.parameters()).device)
    with torch.inference_mode():
        return _median_ms(lambda: float(network.eval()(image, image).disparity.sum()))  # a value waits for a GPU


def runtime_latency_ms(network: StereoNetwork, runtime: str, width_px: int, height_px: int) -> tuple[float, str]:
    """Median time in one of the package's runtimes of a uint8 pair to disparity, and the runtime with its precision."""
    image = np.zeros((height_px, width_px, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidate.onnx"
        export_onnx(network, path)
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
        manifest = Manifest("candidate", network.size_multiple, network.max_disparity_px, files)
        backend = create_backend(runtime, Model(manifest, path.parent))
        return _median_ms(lambda: backend.infer(image, image)), f"{backend.name} {backend.precision}"


def _median_ms(run: Callable[[], object], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[1:])
