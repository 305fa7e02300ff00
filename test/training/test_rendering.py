"""Training on scenes that the training device renders: the same samples as the workers', up to rounding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from training.config import DataConfig, OptimConfig, TrainConfig
from training.errors import TrainingError
from training.loader import CroppedScenes
from training.rendering import PackedScenes, packed_source, rendered
from training.sources import LaterScenes, build_scenes
from training.trainer import Trainer

SCENE = {"width_px": 128, "height_px": 96, "max_disparity_px": [8.0, 40.0], "texture_dir": None, "without": ["jpeg"]}
DATA = DataConfig(scene=SCENE, crop_height_px=64, crop_width_px=96, workers=0)


@pytest.mark.parametrize("enlargement", [1.0, 1.5])
def test_rendered_batches_are_the_workers_samples(enlargement: float) -> None:
    scenes = LaterScenes(build_scenes(DATA), 3)
    crops = CroppedScenes(scenes, 64, 96, seed=1, enlargement=enlargement)
    packed = PackedScenes(scenes)
    (batch,) = rendered([[packed[index] for index in (0, 1, 5)]], crops, torch.device("cpu"))
    for number, index in enumerate((0, 1, 5)):
        expected = crops[index]
        assert set(batch) == set(expected)
        for name, value in expected.items():
            actual = batch[name][number]
            assert actual.dtype == value.dtype and actual.shape == value.shape, name
        assert (batch["disparity"][number] - expected["disparity"]).abs().median() <= 1e-4
        assert (batch["occluded"][number] != expected["occluded"]).float().mean() <= 0.02
        for name in ("left", "right"):
            assert (batch[name][number].float() - expected[name].float()).abs().mean() <= 1.0


def test_a_run_on_rendered_scenes_starts_with_the_same_loss(tiny_network: dict[str, Any], tmp_path: Path) -> None:
    losses = []
    for renderer in ("numpy", "torch"):
        config = TrainConfig(
            tiny_network,
            samples=2,
            precision="32-true",
            data=replace(DATA, renderer=renderer),
            optim=OptimConfig(batch_size=2),
        )
        fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
        trainer = Trainer(config, build_scenes(config.data), tmp_path / renderer, fabric)
        step = trainer.step
        trainer.step = lambda batch, step=step: losses.append(step(batch)) or losses[-1]  # type: ignore[method-assign]
        trainer.run()
    assert losses[0]["total"] == pytest.approx(losses[1]["total"], rel=0.02)


def test_scenes_that_cannot_be_packed_are_told(noise_scenes: Any) -> None:
    with pytest.raises(TrainingError, match="renderer is 'torch' and scenes come from NoiseScenes; expected the gen"):
        packed_source(noise_scenes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"renderer": "gpu"}, "data.renderer is 'gpu'; expected 'numpy' or 'torch'"),
        ({"renderer": "torch", "source": "kitti2015"}, "expected source 'procedural' and reuse 1"),
        ({"renderer": "torch", "reuse": 2}, "expected source 'procedural' and reuse 1"),
    ],
)
def test_a_renderer_that_does_not_fit_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        TrainConfig({}, 4, data=replace(DATA, **changes))
