from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning_fabric import Fabric
from real_files import put
from small_networks import SMALL_CORR

from stereo_dp_ros.core.models import load_model
from stereo_dp_ros.networks import build_network, describe_network, load_network, save_weights
from training import pipeline
from training.config import DataConfig
from training.data.dataset import VALIDATION_SEED
from training.errors import TrainingError
from training.loader import SceneSource
from training.pipeline import Pipeline
from training.pipeline_config import PipelineConfig, load_pipeline_config, rehearsal
from training.prune import PruneConfig, prune_step
from training.record import model_record
from training.report import teacher_verdict
from training.sources import LaterScenes
from training.stage_config import RunConfig, ValidationConfig, require_ready

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"
PARENT = CONFIGS.parent / "checkpoints" / "corr_s_39600.json"
STAGES = [
    "teacher",
    "distilled",
    *(f"pruned_{k}" for k in range(1, 6)),
    "export",
    "ground_truth",
    "scratch",
    "evaluate",
]


class StopAfter:
    """True from the n-th question on, until asked again in another slice."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def cpu() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def untrained_model(folder: Path, prune: PruneConfig | None = None) -> str:
    """Manifest of a small `corr`, whole or pruned by a step; it has weights, but its ONNX file is empty."""
    torch.manual_seed(0)
    network = build_network({"type": "corr", "config": SMALL_CORR})
    if prune:
        prune_step(network, 1, prune)
    folder.mkdir()
    (folder / "tiny.onnx").touch()
    save_weights(network, folder / "tiny.safetensors")
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    manifest = {"name": "tiny", "size_multiple": 32, "max_disparity_px": 28.0, "files": files}
    (folder / "tiny.json").write_text(json.dumps({**manifest, "network": describe_network(network)}))
    return str(folder / "tiny.json")


def compression_without_pairs() -> PipelineConfig:
    config = load_pipeline_config(CONFIGS / "corr_s_compress.yaml")
    return dataclasses.replace(config, init=str(PARENT), validation=dataclasses.replace(config.validation, pairs=""))


def weights(folder: Path, stage: str) -> dict[str, torch.Tensor]:
    state = torch.load(folder / stage / "run0" / "last.pt", weights_only=True)
    return dict(state["ema"])


def test_smoke_runs_from_teacher_to_exported_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--config",
        str(CONFIGS / "smoke.yaml"),
        "--out",
        str(tmp_path),
        "--threads",
        "1",
        "--accelerator",
        "cpu",
    ]
    assert pipeline.main(arguments) == 0
    record = json.loads((tmp_path / "record.json").read_text())
    assert list(record["stages"]) == STAGES
    sizes = [record["stages"][name]["parameters"] for name in STAGES[1:7]]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 6
    assert record["stages"]["scratch"]["parameters"] == sizes[-1]
    assert record["stages"]["scratch"]["samples"] == 4 + 5 * 2
    model = load_model(tmp_path / "model" / "smoke.json")
    assert model.manifest.parameters == sizes[-1]
    rebuilt = load_network(model.manifest.network, tmp_path / "model" / "smoke.safetensors")
    for name, value in weights(tmp_path, "pruned_5").items():
        assert torch.equal(value, rebuilt.state_dict()[name]), name
    assert "Distillation results do not count" in (tmp_path / "report.md").read_text()
    assert "| pruned_5 | 2 |" in capsys.readouterr().out


def test_slices_leave_the_weights_of_an_uninterrupted_run(tmp_path: Path) -> None:
    values = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    values |= {"baseline": False, "scratch": False, "prune": {"steps": 1, "fraction": 0.3}}
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(values))
    config = load_pipeline_config(tmp_path / "short.yaml")
    # Every stage up to the export, which another test looks at.
    for out, questions in (("whole", 1000), ("parts", 2)):
        for _ in range(20):
            part = Pipeline(config, tmp_path / out, cpu(), StopAfter(questions))
            part.stages = lambda part=part: dict(list(Pipeline.stages(part).items())[:3])  # type: ignore[method-assign]
            if part.run():
                break
        else:
            raise AssertionError("did not end")
    for stage in ("teacher", "distilled", "pruned_1"):
        parts = weights(tmp_path / "parts", stage)
        for name, value in weights(tmp_path / "whole", stage).items():
            assert torch.equal(value, parts[name]), f"{stage} {name}"


def test_a_model_is_pruned_against_itself_on_enlarged_images(tmp_path: Path) -> None:
    values = yaml.safe_load((CONFIGS / "corr_s_compress.yaml").read_text())
    tiny = untrained_model(tmp_path / "model")
    values["data"]["procedural"] |= {
        "scene": {"width_px": 128, "height_px": 64, "max_disparity_px": [8.0, 24.0], "supersampling": 1},
        "crop_height_px": 64,
        "crop_width_px": 128,
        "workers": 0,
    }
    short = [{"data": "procedural", "samples": 4, "optim": {"batch_size": 4, "warmup_samples": 0}}]
    values |= {"init": tiny, "student": load_model(tiny).manifest.network, "teacher": {"model": tiny, "scale": 1.5}}
    values |= {"finetune": short, "finish": short, "precision": "32-true"}
    values |= {"prune": {"steps": 1, "fraction": 0.5, "round_to": 8, "least": 8}}
    values |= {"validation": {"data": "procedural", "scenes": 1, "width_px": 128, "height_px": 64}}
    (tmp_path / "compress.yaml").write_text(yaml.safe_dump(values))
    compression = Pipeline(load_pipeline_config(tmp_path / "compress.yaml"), tmp_path / "out", cpu(), lambda: False)
    parts = dict(list(compression.stages().items())[:3])  # up to the export, which another test looks at
    compression.stages = lambda: parts  # type: ignore[method-assign]
    assert compression.run()
    stages = json.loads((tmp_path / "out" / "record.json").read_text())["stages"]
    assert list(stages) == ["teacher", "initial", "pruned_1"]
    assert stages["pruned_1"]["samples"] == 8
    assert stages["pruned_1"]["macs_640x480"] < 0.6 * stages["initial"]["macs_640x480"]
    assert stages["pruned_1"]["network"]["channels"]["match4"] == [8, 8]
    checkpoint = torch.load(tmp_path / "out" / stages["pruned_1"]["checkpoint"], weights_only=True)
    assert checkpoint["began_with"] == model_record(tiny)
    assert teacher_verdict(stages)[1].startswith("Distillation results do not count (teacher's error lower than")


def test_the_student_sees_scenes_from_the_first_one_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []

    def noted(scenes: SceneSource, start: int) -> LaterScenes:
        starts.append(start)
        return LaterScenes(scenes, start)

    monkeypatch.setattr("training.stages.LaterScenes", noted)
    smoke = load_pipeline_config(CONFIGS / "smoke.yaml")
    config = dataclasses.replace(smoke, first_scene=700, prune=PruneConfig(2, 0.1))
    compression = Pipeline(config, tmp_path, cpu(), lambda: False)
    for name in ("teacher", "distilled", "pruned_1", "pruned_2", "ground_truth", "scratch"):
        entry = compression.stages()[name]()
        assert entry is not None
        compression.record["stages"][name] = entry
    # The teacher's run is opened again for each stage that asks it.
    of_student = [start for start in starts if start]
    assert of_student == [700, 704, 706, 700, 700, 704, 706]


def test_another_config_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    config = load_pipeline_config(CONFIGS / "smoke.yaml")
    first = Pipeline(config, tmp_path, cpu(), lambda: True)
    (tmp_path / "record.json").write_text(json.dumps(first.record))
    with pytest.raises(TrainingError, match="begun with another config: seed is 0, expected 4"):
        Pipeline(dataclasses.replace(config, seed=4), tmp_path, cpu(), lambda: True)


def test_a_student_that_is_not_the_model_to_begin_with_is_refused(tmp_path: Path) -> None:
    config = compression_without_pairs()
    other = dataclasses.replace(config, student={"type": "corr", "config": {"stem_channels": 8}})
    with pytest.raises(
        TrainingError, match="not the network of init .*corr_s_39600.json: config.stem_channels is 8, expected 16"
    ):
        Pipeline(other, tmp_path, cpu(), lambda: True)


def test_a_pruned_model_is_trained_on_as_it_is(tmp_path: Path) -> None:
    model = untrained_model(tmp_path / "model", PruneConfig(steps=1, fraction=0.5, round_to=8))
    config = compression_without_pairs()
    config = dataclasses.replace(config, init=model, student={"type": "corr", "config": SMALL_CORR})
    student = Pipeline(config, tmp_path, cpu(), lambda: True).student
    assert student == load_model(model).manifest.network
    assert student["channels"]["match4"] == [8, 8]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"distill": {}}, "unknown config fields: distill"),
        ({"loss": {"temprature_start": 1.0}}, "unknown config fields: loss.temprature_start"),
        ({"distil": [{"data": "procedural", "sample": 4}]}, r"unknown config fields: distil\[0\]\.sample"),
        ({"teacher": {"runs": []}}, "teacher has none of them; expected one of model, file, network"),
        ({"student": {"type": "psmnet"}}, "student.type is 'psmnet'; expected one that can be pruned"),
        ({"distil": []}, "distil is empty; expected runs, or init"),
        ({"distil": [], "init": "corr_m"}, "distil is empty; expected runs, or baseline: false"),
        ({"teacher": {"file": "last.pt", "scale": 2.0}}, "teacher.scale is 2.0"),
        ({"first_scene": -1}, "first_scene is -1; expected at least 0"),
        ({"first_scene": VALIDATION_SEED - 13}, f"make {VALIDATION_SEED + 1}; expected at most {VALIDATION_SEED}, the"),
    ],
)
def test_typos_in_a_config_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    values = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    path = tmp_path / "typo.yaml"
    path.write_text(yaml.safe_dump({**values, **change}))
    with pytest.raises(TrainingError, match=rf"typo\.yaml: .*{said}"):
        load_pipeline_config(path)


def test_a_source_that_is_not_there_ends_the_command_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load((CONFIGS / "sceneflow_kitti.yaml").read_text())
    values["data"]["sceneflow"]["root"] = str(tmp_path / "nowhere")
    values["data"]["kitti"]["root"] = str(tmp_path / "nirgends")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    assert pipeline.main(["--config", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("training.pipeline: ")
    assert "nowhere: no such folder, expected ROOT/FlyingThings3D" in said
    assert "nirgends: no such folder, expected ROOT/training/{image_2" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"validation": {"data": "procedural", "pairs": "nowhere"}}, "nowhere: no such folder, expected PAIRS/"),
        ({"student": {"type": "dtpnet", "config": {"stages": "2"}}}, "network dtpnet: stages is '2', expected int"),
        ({"prune": {"spare": ["hourglas.*"]}}, "prune.spare: no layer is named hourglas.*; expected names or patterns"),
        (
            {"teacher": {"network": {"type": "psmnet", "config": {"widht": 4}}}},
            "unknown fields for network 'psmnet': widht; there are: hourglasses",
        ),
        ({"validation": {"data": "procedurl"}}, "validation.data is 'procedurl'; expected one of data: procedural"),
        ({"validation": {"data": "procedural", "runtime": "openvin"}}, "no backend is named 'openvin', there are"),
        ({"validation": {"data": "procedural", "scenes": 0}}, "validation.scenes is 0; expected at least 1, or pairs"),
        ({"validation": {"data": "procedural", "width_px": 100}}, "are 100 and 480; expected multiples of 32"),
        (
            {"finetune": [{"data": "procedural", "samples": 8, "optim": {"decay_samples": 16}}]},
            "finetune[0]: optim.decay_samples is 16; expected at most samples (8)",
        ),
        (
            {"finetune": [{"data": "procedural", "samples": 2}]},
            "finetune[0]: samples is 2; expected at least a batch (4)",
        ),
    ],
)
def test_what_the_last_stages_cannot_do_is_told_before_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], said: str
) -> None:
    values = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**values, **change}))
    assert pipeline.main(["--config", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_what_is_held_out_is_told_before_the_first_stage(tmp_path: Path) -> None:
    for folder in ("FlyingThings3D/{}/TRAIN/A/0000", "Driving/{}/fast", "Monkaa/{}/rain"):
        for side in ("left", "right"):
            for kind, suffix in (("frames_finalpass", "png"), ("disparity", "pfm")):
                path = tmp_path / folder.format(kind) / side / f"0006.{suffix}"
                path.parent.mkdir(parents=True)
                path.touch()
    data = {"sceneflow": DataConfig(source="sceneflow", root=str(tmp_path))}
    with pytest.raises(TrainingError, match="lacks the folders FlyingThings3D/frames_finalpass/TEST, FlyingThings3D/d"):
        require_ready(data, {}, ValidationConfig("sceneflow"))


def test_scenes_that_are_trained_on_are_not_measured_on(data_folder: Path, tmp_path: Path) -> None:
    scene = tmp_path / "trainingQ" / "Adirondack"
    pair = data_folder / "pairs" / "middlebury_q" / "Adirondack"
    put(pair, scene / "im0.png", scene / "im1.png", scene / "disp0GT.pfm", scene / "mask0nocc.png")
    data = {"train": DataConfig(source="middlebury", root=str(tmp_path)), "scenes": DataConfig()}
    validation = ValidationConfig("train")
    require_ready(data, {"distil[0]": RunConfig("scenes", 8)}, validation)
    with pytest.raises(TrainingError, match=r"is 'train' and distil\[1\] trains on middlebury too, of which nothing"):
        require_ready(data, {"distil[0]": RunConfig("scenes", 8), "distil[1]": RunConfig("train", 8)}, validation)


@pytest.mark.parametrize("name", ["procedural", "sceneflow_kitti", "corr_s_compress", "corr_m_cuts"])
def test_the_configs_that_are_too_long_for_a_test_can_be_read(name: str) -> None:
    config = rehearsal(load_pipeline_config(CONFIGS / f"{name}.yaml"), 20)
    assert {r.samples // r.optim.batch_size for runs in config.runs().values() for r in runs} == {20}


def test_distillation_counts_once_the_teacher_is_a_tenth_better_everywhere() -> None:
    def stages(teacher: float, real: float) -> dict[str, Any]:
        return {
            "teacher": {"metrics": {"procedural": {"epe": teacher}, "middlebury_q": {"epe": real}}},
            "ground_truth": {"metrics": {"procedural": {"epe": 2.0}, "middlebury_q": {"epe": 3.0}}},
        }

    assert teacher_verdict(stages(1.79, 2.69))[0] is True
    assert teacher_verdict(stages(1.79, 2.75))[0] is False
    counts, line = teacher_verdict(stages(1.81, 2.0))
    assert counts is False and "procedural 1.810 px against 2.000 px (+9.5 %)" in line
    assert teacher_verdict({})[0] is False
