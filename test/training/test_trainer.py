from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from stereo_dp_ros.core.errors import ImageError
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import DataConfig, OptimConfig, TrainConfig
from training.ema import WeightAverage
from training.errors import TrainingError
from training.trainer import Trainer


@pytest.fixture
def config(tiny_network: dict[str, object]) -> TrainConfig:
    return TrainConfig(
        network=tiny_network,
        samples=12,
        precision="32-true",
        data=DataConfig(crop_height_px=64, crop_width_px=96, workers=0),
        optim=OptimConfig(batch_size=2, warmup_samples=4, decay_samples=4),
    )


class Recorder:
    """Losses of each step of a Trainer."""

    def __init__(self, trainer: Trainer, stop_after: int | None = None) -> None:
        self.losses: list[dict[str, float]] = []
        self.stop_after = stop_after
        step = trainer.step

        def recorded(batch: dict[str, Tensor]) -> dict[str, float]:
            self.losses.append(step(batch))
            return self.losses[-1]

        trainer.step = recorded  # type: ignore[method-assign]

    def __call__(self) -> bool:
        return len(self.losses) == self.stop_after


def train(config: TrainConfig, scenes: Any, out: Path, stop_after: int | None = None) -> tuple[Trainer, Recorder]:
    trainer = Trainer(config, scenes, out, Fabric(accelerator="cpu", devices=1, precision=config.precision))
    recorder = Recorder(trainer, stop_after)
    trainer.run(recorder)
    return trainer, recorder


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(
    config: TrainConfig, noise_scenes: Any, tmp_path: Path, workers: int
) -> None:
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=workers))
    whole, recorded = train(config, noise_scenes, tmp_path / "whole")
    _, first = train(config, noise_scenes, tmp_path / "parts", stop_after=2)
    resumed, second = train(config, noise_scenes, tmp_path / "parts")
    assert len(recorded.losses) == 6
    assert first.losses + second.losses == recorded.losses
    for name, value in whole.average.network.state_dict().items():
        assert torch.equal(value, resumed.average.network.state_dict()[name]), name
    assert resumed.sample == 12


def test_learns_to_match_noise(config: TrainConfig, noise_scenes: Any, tmp_path: Path) -> None:
    long = dataclasses.replace(
        config, samples=120, optim=OptimConfig(batch_size=4, learning_rate=4e-3, warmup_samples=8)
    )
    _, recorder = train(long, noise_scenes, tmp_path)
    assert recorder.losses[-1]["distribution"] < 0.5 * recorder.losses[0]["distribution"]


class PoisonedScenes:
    """Scenes whose ground truth is infinite from a given index on."""

    def __init__(self, scenes: Any, first_bad: int) -> None:
        self.scenes = scenes
        self.first_bad = first_bad

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        scene = dict(self.scenes[index])
        if index >= self.first_bad:
            scene["left"] = torch.full_like(scene["left"], torch.inf, dtype=torch.float32)
        return scene


def test_a_loss_that_is_not_finite_stops_before_the_step(
    config: TrainConfig, noise_scenes: Any, tmp_path: Path
) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    trainer = Trainer(config, PoisonedScenes(noise_scenes, 4), tmp_path, fabric)
    recorder = Recorder(trainer)
    with pytest.raises(
        TrainingError, match=r"total not finite at sample 4 \(of samples \[4, 5\]\); stopped before the step"
    ):
        trainer.run(recorder)
    assert len(recorder.losses) == 2
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())


class Logits:
    """An objective on the logits alone."""

    def __call__(self, output: Any, _batch: dict[str, Tensor], _progress: float) -> dict[str, Tensor]:
        return {"total": output.logits.float().square().mean()}


def test_a_loss_that_leaves_layers_untrained_is_refused(config: TrainConfig, noise_scenes: Any, tmp_path: Path) -> None:
    """The weights that bring `corr` to full resolution have no part in its logits."""
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    trainer = Trainer(config, noise_scenes, tmp_path, fabric, objective=Logits())
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    with pytest.raises(TrainingError, match=r"no gradient reaches .*mask\.weight.*; expected a loss on which every"):
        trainer.run()
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.named_parameters())


class MissingScenes:
    """Scenes whose files cannot be read."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        raise ImageError(f"left_{index}.png: is no image, expected PNG")


def test_a_file_that_a_worker_cannot_read_is_told_in_one_line(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=1))
    with pytest.raises(ImageError) as raised:
        train(config, MissingScenes(), tmp_path)
    assert str(raised.value) == "left_0.png: is no image, expected PNG"


def test_a_checkpoint_of_another_network_says_which_field_differs(
    config: TrainConfig, noise_scenes: Any, tmp_path: Path
) -> None:
    train(config, noise_scenes, tmp_path, stop_after=1)
    wider = {"type": "corr", "config": {**config.network["config"], "mask_channels": 16}}
    with pytest.raises(TrainingError, match=r"config\.mask_channels is 8, expected 16"):
        train(dataclasses.replace(config, network=wider), noise_scenes, tmp_path)


def test_a_scene_smaller_than_the_crop_is_named(config: TrainConfig, noise_scenes: Any, tmp_path: Path) -> None:
    large = dataclasses.replace(config, data=DataConfig(crop_height_px=64, crop_width_px=320, workers=0))
    with pytest.raises(TrainingError, match="scene 0 is 160x80; expected at least the crop, 320x64"):
        train(large, noise_scenes, tmp_path)


def test_a_checkpoint_says_what_the_run_began_with(config: TrainConfig, noise_scenes: Any, tmp_path: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    origin = {"name": "tiny", "sha256": "0f", "training": {"samples": 8}}
    path = tmp_path / "last.pt"
    Trainer(config, noise_scenes, tmp_path, fabric, began_with=origin).save()
    assert load_checkpoint(path)["began_with"] == origin
    Trainer(config, noise_scenes, tmp_path, fabric).save()
    assert load_checkpoint(path)["began_with"] == origin, "a run that goes on has still begun with it"
    state = load_checkpoint(path)
    del state["began_with"]
    torch.save(state, path)
    assert load_checkpoint(path)["began_with"] is None, "older ones do not say"


def test_a_checkpoint_with_other_keys_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"last\.pt: has the keys \['model'\]; expected a checkpoint .*\['com"):
        load_checkpoint(tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="checkpoint has the keys"):
        save_checkpoint(tmp_path / "new.pt", {"model": {}})
    assert not (tmp_path / "new.pt").exists()


@pytest.mark.parametrize("content", [b"not a checkpoint", b"", b"eggs and spam\n", pickle.dumps({1: [2]}, 2)])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(TrainingError, match=r"last\.pt: .*; expected a checkpoint of training\.train"):
        load_checkpoint(tmp_path / "last.pt")


def test_a_missing_checkpoint_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    with pytest.raises(TrainingError) as raised:
        load_checkpoint(path)
    assert str(raised.value) == (
        f"{path}: cannot be read (No such file or directory); expected a checkpoint of training.train"
    )


def test_weight_average_warms_up_and_copies_counters() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1, bias=False), torch.nn.BatchNorm2d(1))
    with torch.no_grad():
        network[0].weight.fill_(0.0)
        average = WeightAverage(network, decay=0.5)
        network[0].weight.fill_(1.0)
        network[1].num_batches_tracked.fill_(7)  # type: ignore[union-attr,operator]
    average.update(network)
    assert float(average.network[0].weight) == pytest.approx(1 - 2 / 11)  # type: ignore[index]
    assert int(average.network[1].num_batches_tracked) == 7  # type: ignore[index]
