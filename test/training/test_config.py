from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.config import OptimConfig, TrainConfig, load_config, parse_config, to_dict
from training.errors import TrainingError
from training.trainer import learning_rate

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"


def test_the_shipped_config_is_read_and_survives_a_round_trip() -> None:
    config = load_config(CONFIGS / "corr_s.yaml")
    assert parse_config(TrainConfig, to_dict(config)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "samples: 8\nnetwork: {type: corr}\noptim: {learning_rat: 0.1}",
            r"unknown config fields: optim\.learning_rat;",
        ),
        ("samples: 8\nnetwork: {type: corr}\nsede: 1", "unknown config fields: sede; there are: network, samples"),
        ("network: {type: corr}", "missing config fields: samples"),
        ("samples: many\nnetwork: {type: corr}", "config field samples is 'many'; expected int"),
        ("samples: 8\nnetwork: {type: corr}\ndata: {crop_width_px: 100}", r"data\.crop_width_px is 100; expected"),
        (
            "samples: 8\nnetwork: {type: corr}\noptim: {decay_samples: 9}",
            r"optim\.decay_samples is 9; expected at most",
        ),
        ("samples: 8\nnetwork: {type: corr}\noptim: {batch_size: 0}", r"optim: batch_size is 0, expected at least 1"),
        (
            "samples: 8\nnetwork: {type: corr}\noptim: {learning_rate: .nan, ema_decay: 2}",
            r"optim: learning_rate is nan, expected above 0; ema_decay is 2\.0, expected 0 to 1",
        ),
        ("samples: 3\nnetwork: {type: corr}", r"samples is 3; expected at least a batch \(4\)"),
        ("samples: 8\nnetwork: {type: corr}\ndata: {workers: -1}", r"data\.workers is -1; expected at least 0"),
        ("samples: 8\nnetwork: {type: corr}\nseed: -1", r"seed is -1; expected at least 0"),
        ("[1, 2]", r"config is \[1, 2\]; expected a mapping"),
    ],
)
def test_a_wrong_config_names_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=f"run.yaml: {message}"):
        load_config(path)


def test_a_missing_config_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    with pytest.raises(TrainingError) as raised:
        load_config(path)
    assert str(raised.value) == f"{path}: cannot be read (No such file or directory)"


def test_a_config_that_is_no_yaml_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("samples: [1, 2\nnetwork: {")
    with pytest.raises(TrainingError, match="run.yaml: while parsing") as raised:
        load_config(path)
    assert "\n" not in str(raised.value)


def test_learning_rate_warms_up_holds_and_decays_to_zero() -> None:
    optim = OptimConfig(batch_size=4, learning_rate=1.0, warmup_samples=16, decay_samples=40)
    rates = [learning_rate(optim, sample, 100) for sample in (0, 4, 12, 56, 60, 80, 96)]
    torch.testing.assert_close(rates, [0.25, 0.5, 1.0, 1.0, 1.0, 0.5, 0.1])
