"""A trainer's step, and a pipeline's cut, in a process of `torch.distributed.run`; the first one writes results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric

from stereo_dp_ros.networks import StereoOutput
from training import pipeline
from training.config import DataConfig, OptimConfig, TrainConfig
from training.errors import TrainingError
from training.pipeline import Pipeline
from training.pipeline_config import PipelineConfig
from training.processes import open_fabric
from training.prune import PruneConfig, prune_step
from training.stage_config import TeacherConfig, ValidationConfig
from training.trainer import Trainer

NETWORK = {
    "type": "dtpnet",
    "config": {
        "max_disparity_px": 32,
        "stem_channels": 8,
        "stage_channels": [8, 16, 16, 16],
        "stage_blocks": [1, 1, 1, 1],
    },
}


class UnevenScenes:
    """Noise shifted by 5 px; every scene has labels in a part of its own size."""

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        wide = torch.randint(0, 256, (3, 64, 101), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)
        valid = torch.zeros(1, 64, 96, dtype=torch.bool)
        valid[..., : 16 + 20 * index] = True
        disparity = torch.full((1, 64, 96), 5.0)
        return {
            "left": wide[..., :96],
            "right": wide[..., 5:],
            "disparity": disparity,
            "valid": valid,
            "occluded": ~valid,
        }


def stop_and_cut(out: Path, fabric: Fabric) -> None:
    """A pipeline's first cut; in each process a line of what became of a stop in the last, and whether it cut."""
    data = DataConfig(scene={"width_px": 96, "height_px": 64}, crop_height_px=64, crop_width_px=96, workers=0)
    config = PipelineConfig(
        "cut",
        NETWORK,
        {"scenes": data},
        TeacherConfig(model="corr_m"),
        distil=[],
        finetune=[],
        validation=ValidationConfig("scenes", scenes=1, width_px=96, height_px=64),
        init="NETWORK",
        baseline=False,
        prune=PruneConfig(steps=1),
    )
    network = torch.manual_seed(0) and pipeline.build_network(NETWORK)
    pipeline.model_network = lambda _: network  # type: ignore[assignment,return-value]
    pipeline.model_record = lambda _: {}
    cuts = []
    pipeline.prune_step = lambda *arguments: cuts.append(prune_step(*arguments))  # type: ignore[assignment]
    going_on = Pipeline(config, out, fabric, lambda: fabric.global_rank == fabric.world_size - 1).run()
    cutting = Pipeline(config, out, fabric, lambda: False)
    cutting._fit = lambda _name, description, *_, **__: description  # type: ignore[method-assign,assignment]
    width = cutting._prune(1)["channels"]["cost.layers.0.0"]  # type: ignore[index]
    (out / f"{fabric.global_rank}.json").write_text(json.dumps([going_on, len(cuts), width]))


class UnevenLoss:
    """A loss that is finite in the first process alone."""

    def __init__(self, first: bool) -> None:
        self.first = first

    def __call__(
        self, output: StereoOutput, _batch: dict[str, torch.Tensor], _progress: float
    ) -> dict[str, torch.Tensor]:
        total = output.disparity.mean()
        return {"total": total if self.first else total * torch.nan}


def refused_step(out: Path, config: TrainConfig, fabric: Fabric) -> None:
    """What each process says when the loss of another is not finite."""
    objective = UnevenLoss(fabric.is_global_zero)
    said = ""
    try:
        Trainer(config, UnevenScenes(), out / "refused", fabric, objective=objective).run()
    except TrainingError as error:
        said = str(error)
    (out / f"{fabric.global_rank}.txt").write_text(said)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    fabric = open_fabric("cpu", "64-true", 1)
    config = TrainConfig(
        NETWORK,
        samples=4,
        precision="64-true",
        data=DataConfig(crop_height_px=64, crop_width_px=96, workers=0),
        optim=OptimConfig(batch_size=4, clip_norm=1e9),
    )
    trainer = Trainer(config, UnevenScenes(), out / "run", fabric)
    trainer.run()
    if fabric.is_global_zero:
        gradients = {name: p.grad for name, p in trainer.network.named_parameters()}
        torch.save({"gradients": gradients, "buffers": dict(trainer.network.named_buffers())}, out / "step.pt")
    stop_and_cut(out, fabric)
    refused_step(out, config, fabric)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
