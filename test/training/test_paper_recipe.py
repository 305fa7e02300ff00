"""The recipe of the paper, for a few steps, on real frames arranged as SceneFlow and KITTI 2015 are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning_fabric import Fabric
from real_files import put

from training.pipeline import Pipeline
from training.pipeline_config import load_pipeline_config

CONFIG = Path(__file__).resolve().parents[2] / "training" / "configs" / "sceneflow_kitti.yaml"
SMALL_STUDENT = {"max_disparity_px": 32, "stem_channels": 8, "stage_channels": [8, 16, 16, 16]}
SMALL_TEACHER = {"max_disparity_px": 32, "width": 4, "stage_blocks": [1, 1, 1, 1], "hourglasses": 1}


def arrange_sceneflow(pair: Path, root: Path) -> None:
    for place in (
        "FlyingThings3D/{}/TRAIN/A/0000",
        "Driving/{}/15mm_focallength/scene_backwards/fast",
        "Monkaa/{}/rain",
    ):
        images, labels = root / place.format("frames_finalpass"), root / place.format("disparity")
        put(pair, images / "left/0006.png", images / "right/0006.png", labels / "left/0006.pfm")


def arrange_kitti(pair: Path, root: Path) -> None:
    for frame in ("000005_10.png", "000006_10.png"):  # the last one is held out
        put(pair, *(root / "training" / name / frame for name in ("image_2", "image_3", "disp_occ_0")))


def test_the_recipe_runs_on_the_published_layouts(data_folder: Path, tmp_path: Path) -> None:
    arrange_sceneflow(next((data_folder / "pairs" / "sceneflow").iterdir()), tmp_path / "sceneflow")
    arrange_kitti(data_folder / "pairs" / "kitti2015" / "000005", tmp_path / "kitti")
    values: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    for name, data in values["data"].items():
        data |= {"root": str(tmp_path / name), "crop_height_px": 64, "crop_width_px": 128, "workers": 0}
    values["student"]["config"] = {**SMALL_STUDENT, "stage_blocks": [1, 1, 1, 1]}
    values["teacher"]["network"]["config"] = SMALL_TEACHER
    for run in [*values["teacher"]["runs"], *values["distil"], *values["finetune"]]:
        run["samples"] = 4
        run["optim"]["batch_size"] = 2
    values["validation"] |= {"width_px": 128, "height_px": 64}
    values |= {"prune": {"steps": 1, "fraction": 0.5}, "baseline": False, "scratch": False, "precision": "32-true"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    pipeline = Pipeline(load_pipeline_config(tmp_path / "recipe.yaml"), tmp_path / "out", fabric, lambda: False)
    stages = dict(list(pipeline.stages().items())[:3])  # up to the export
    pipeline.stages = lambda: stages  # type: ignore[method-assign]

    assert pipeline.run()

    record = json.loads((tmp_path / "out" / "record.json").read_text())["stages"]
    assert list(record) == ["teacher", "distilled", "pruned_1"]
    for name, runs in (("teacher", 2), ("distilled", 3), ("pruned_1", 2)):
        assert record[name]["samples"] == 4 * runs
        assert record[name]["metrics"]["kitti2015"]["scenes"] == 1
    # The rates are the recipe's: 1e-3 on both sets, then 1e-4 on KITTI, and no decay.
    states = [torch.load(tmp_path / f"out/distilled/run{k}/last.pt", weights_only=True) for k in range(3)]
    assert [state["config"]["data"]["source"] for state in states] == ["sceneflow", "kitti2015", "kitti2015"]
    assert [state["config"]["optim"]["learning_rate"] for state in states] == [1e-3, 1e-3, 1e-4]
    assert {state["config"]["optim"]["decay_samples"] for state in states} == {0}
