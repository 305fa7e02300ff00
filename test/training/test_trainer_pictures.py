from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stereo_dp_ros.core.images import colorize_disparity
from training import trainer
from training.config import TrainConfig, parse_config
from training.pictures import picture_row
from training.trainer import Trainer


def test_left_truth_prediction_and_error_stand_beside_each_other() -> None:
    left = np.full((2, 3, 3), 7, np.uint8)
    truth = np.array([[0, 10, np.nan], [5, 5, 5]], np.float32)
    predicted = np.array([[0, 10, 3], [10, 5, 0]], np.float32)
    row = picture_row(left, truth, predicted)
    assert row.shape == (2, 12, 3) and row.dtype == np.uint8
    assert (row[:, :3] == 7).all()
    colours = colorize_disparity(np.array([[0, 5, 10]], np.float32), 0.0, 10.0)[0, :, ::-1]
    assert (row[0, 3:5] == colours[[0, 2]]).all() and (row[0, 5] == 0).all()
    assert (row[1, 6:9] == colours[[2, 1, 0]]).all()
    assert (row[1, 9:] == colours[[2, 0, 2]]).all() and (row[0, 11] == 0).all()


def test_a_run_leaves_scalars_and_now_and_then_a_picture(
    tmp_path: Path, noise_scenes: Any, tiny_network: dict[str, object], monkeypatch: Any
) -> None:
    monkeypatch.setattr(trainer, "LOG_EVERY_STEPS", 1)
    monkeypatch.setattr(trainer, "PICTURE_EVERY_STEPS", 2)
    config = {
        "network": tiny_network,
        "samples": 6,
        "data": {"crop_height_px": 64, "crop_width_px": 128, "workers": 0},
        "optim": {"batch_size": 2},
    }
    run = parse_config(TrainConfig, config)
    Trainer(run, noise_scenes, tmp_path, Fabric(accelerator="cpu", devices=1, precision="32-true")).run()
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in events.Scalars("loss/total")] == [2, 4, 6]
    (picture,) = events.Images("left, truth, prediction, error")
    assert (picture.step, picture.width, picture.height) == (4, 4 * 128, 64)
