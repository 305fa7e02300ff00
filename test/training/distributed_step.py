"""One step of a trainer in a process of `torch.distributed.run`; the first one writes the gradients."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric

from training.config import DataConfig, OptimConfig, TrainConfig
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


def main(out: Path, processes: int) -> None:
    torch.set_num_threads(1)
    strategy = "ddp" if processes > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=processes, strategy=strategy, precision="64-true")
    fabric.launch()
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
