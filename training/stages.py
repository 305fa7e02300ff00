"""What the pipeline and the ablations are made of: training a network in a folder, and measuring one."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from stereo_dp_ros.core.evaluation import SceneScore, score_pairs, set_rows
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from stereo_dp_ros.networks import StereoNetwork, build_network, describe_network
from stereo_dp_ros.networks.dtpnet import DtpNetwork
from training.config import DataConfig, LossConfig, TrainConfig
from training.distill import Distillation, DistillConfig
from training.evaluate import evaluate_pairs
from training.export import count_macs
from training.kept_scenes import KeptScenes
from training.latency import latency_ms, runtime_latency_ms
from training.loader import SceneSource
from training.sources import LaterScenes, build_scenes, held_out_pairs, scene_config
from training.stage_config import RunConfig, TeacherConfig, ValidationConfig
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

__all__ = ["Workshop"]


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
        began_with: Mapping[str, Any] | None = None,
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
        began_with
            The model that the state is of, or was before it was pruned, for the record.
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
                config,
                scenes,
                self.out / name / f"run{number}",
                self.fabric,
                objective=objective,
                initial=initial,
                began_with=began_with,
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
