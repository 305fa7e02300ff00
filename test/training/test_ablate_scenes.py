"""The scenes' ablation: what a row leaves out, when a feature stays, and the command from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from training import ablate_scenes
from training.ablate_scenes import EVERYTHING, ROWS, SceneAblationConfig, verdicts
from training.config import DataConfig, parse_config
from training.errors import TrainingError
from training.sources import scene_config

SCENE = {"width_px": 96, "height_px": 64, "max_disparity_px": [8.0, 24.0], "supersampling": 1, "texture_dir": None}


def _config(network: dict[str, Any], pairs: str) -> dict[str, Any]:
    return {
        "network": network,
        "samples": 2,
        "pairs": pairs,
        "precision": "32-true",
        "data": {"scene": SCENE, "crop_height_px": 64, "crop_width_px": 96, "workers": 0},
        "optim": {"batch_size": 2},
    }


def _record(row: str, seed: int, bad_2: float) -> dict[str, Any]:
    return {"row": row, "seed": seed, "bad_2": bad_2}


def test_a_feature_stays_if_its_absence_costs_more_than_the_spread() -> None:
    figures = {EVERYTHING: (20.0, 20.4), "sticks": (21.0, 21.2), "lamp": (20.1, 20.9), "blank": (22.0, 24.0)}
    records = [_record(row, seed, value) for row, values in figures.items() for seed, value in enumerate(values)]
    rows = {row["row"]: row for row in verdicts(records)}
    assert list(rows) == [EVERYTHING, "blank", "sticks", "lamp"]
    assert rows["sticks"]["gain"] == pytest.approx(0.9) and rows["sticks"]["spread"] == pytest.approx(0.4)
    assert {name: row["stays"] for name, row in rows.items()} == {
        EVERYTHING: None,
        "sticks": True,
        "lamp": False,  # 0.3 higher, 0.8 spread
        "blank": True,  # 2.8 higher, 2.0 spread
    }


def test_rows_leave_out_one_feature_each(tiny_network: dict[str, Any]) -> None:
    config: SceneAblationConfig = parse_config(SceneAblationConfig, _config(tiny_network, ""))
    scenes = {row: scene_config(config.run(row, 0).data) for row in ROWS}
    assert scenes[EVERYTHING].without == () and scenes[EVERYTHING].detail == (1.0, 2.0)
    assert scenes["detail"].without == () and scenes["detail"].detail == (1.0, 1.0)
    assert all(scenes[row].without == (row,) for row in ROWS[2:])


def test_bad_budgets_are_errors(tiny_network: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="seeds is 1; expected at least 2"):
        SceneAblationConfig(tiny_network, DataConfig(), 4, "", seeds=1)
    with pytest.raises(TrainingError, match="data.source is 'kitti2015'; expected 'procedural'"):
        SceneAblationConfig(tiny_network, DataConfig(source="kitti2015"), 4, "")


def test_the_command_from_end_to_end(
    tiny_network: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = tmp_path / "pairs" / "noise" / "a"
    pair.mkdir(parents=True)
    wide = np.random.default_rng(0).integers(0, 256, (64, 136, 3), np.uint8)
    cv2.imwrite(str(pair / "im0.png"), wide[:, :128])
    cv2.imwrite(str(pair / "im1.png"), wide[:, 8:])
    cv2.imwrite(str(pair / "disp0.png"), np.full((64, 128), 8 * 256, np.uint16))
    path = tmp_path / "budget.yaml"
    path.write_text(yaml.safe_dump(_config(tiny_network, str(tmp_path / "pairs"))))
    arguments = ["--config", str(path), "--only", "sticks", "--threads", "1", "--accelerator", "cpu"]
    arguments += ["--out", str(tmp_path / "out"), "--results", str(tmp_path / "results")]

    assert ablate_scenes.main([*arguments, "--max-minutes", "0"]) == 3
    assert ablate_scenes.main(arguments) == 0
    table = json.loads((tmp_path / "results" / "scenes.json").read_text())
    assert [row["row"] for row in table["rows"]] == [EVERYTHING, "sticks"]
    assert all(len(row["bad_2"]) == 2 for row in table["rows"])
    assert "| sticks |" in (tmp_path / "results" / "scenes.md").read_text()
    record = json.loads((tmp_path / "results" / "runs" / "scenes-sticks-1.json").read_text())
    assert record["samples"] == 2 and record["sets"]["noise"]["scenes"] == 1

    assert ablate_scenes.main([*arguments, "--rehearse", "1"]) == 0
    assert (tmp_path / "out-rehearsal" / "scenes.md").exists()
    path.write_text(yaml.safe_dump({**_config(tiny_network, str(tmp_path / "pairs")), "samples": 4}))
    capsys.readouterr()
    assert ablate_scenes.main(arguments) == 2
    assert "scenes-everything-0.json: made otherwise" in capsys.readouterr().err
    assert ablate_scenes.main([*arguments, "--only", "snow"]) == 2
    assert "--only snow: expected some of detail, " in capsys.readouterr().err
