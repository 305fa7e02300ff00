from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from stereo_dp_ros.core.models import MODELS_DIR, load_model
from training import ablate
from training.ablate import load_ablation_config
from training.tables import TABLES, compare, summary

SMALL: dict[str, Any] = {
    "data": {
        "procedural": {
            "scene": {"width_px": 96, "height_px": 64, "max_disparity_px": [8.0, 24.0], "supersampling": 1},
            "crop_height_px": 64,
            "crop_width_px": 96,
            "workers": 0,
        }
    },
    "max_disparity_px": 32,
    "student": {"stem_channels": 8, "stage_channels": [8, 16, 16, 16], "stage_blocks": [1, 1, 1, 1]},
    "teacher": {
        "network": {"type": "psmnet", "config": {"max_disparity_px": 32, "width": 4, "stage_blocks": [1, 1, 1, 1]}},
        "runs": [{"data": "procedural", "samples": 4, "optim": {"batch_size": 2}}],
    },
    "distinct_scenes": 3,
    "train": {"data": "procedural", "samples": 2, "optim": {"batch_size": 2}},
    "finetune": {"data": "procedural", "samples": 2, "optim": {"batch_size": 2}},
    "validation": {"data": "procedural", "scenes": 2, "width_px": 96, "height_px": 64},
    "precision": "32-true",
}


def row(label: str, *errors: float) -> dict[str, Any]:
    measured = [{"metrics": {"scenes": {"scenes": 5, "epe": e, "bad_2": 10 * e}}} for e in errors]
    return {"label": label, "seeds": measured, **summary(measured)}


def test_a_difference_inside_the_noise_is_not_resolved() -> None:
    rows = compare([row("a", 1.0, 1.1, 1.2), row("b", 1.1, 1.2, 1.3), row("c", 2.0, 2.1, 2.2)])
    assert [r["worse"] for r in rows] == [dict.fromkeys(("epe_px", "bad_2_percent"), w) for w in (None, False, True)]
    assert [r["worse"]["epe_px"] for r in compare([row("a", 1.0), row("b", 9.0)])] == [None, False]
    assert [r["worse"]["epe_px"] for r in compare([row("a", 1.0, 1.1, 1.2), row("b", 1.2), row("c", 1.5)])] == [
        None,
        False,  # taken to spread as a does: 0.1 further than it, of a standard error of 0.115
        True,
    ]
    left_out = {"label": "d", "seeds": [], **summary([])}
    assert compare([row("a", 1.0, 1.1, 1.2), left_out])[1]["worse"] == {}
    assert rows[0]["errors"]["epe_px"] == {"mean": pytest.approx(1.1), "sd": pytest.approx(0.1)}
    assert rows[0]["errors"]["bad_2_percent"] == {"mean": pytest.approx(11), "sd": pytest.approx(1)}


def test_every_pair_counts_the_same_and_each_figure_has_its_own_best_row() -> None:
    def entry(scenes: float, few: float, many: float) -> dict[str, Any]:
        sets = {"scenes": (100, scenes), "few": (1, few), "many": (3, many)}
        return {"metrics": {name: {"scenes": n, "epe": e, "bad_2": 2 * e} for name, (n, e) in sets.items()}}

    measured = {"a": [entry(1.0, 8.0, 4.0)], "b": [entry(2.0, 4.0, 0.0)]}
    a, b = compare([{"label": label, "seeds": seeds, **summary(seeds)} for label, seeds in measured.items()])
    assert a["errors"]["pairs_epe_px"] == {"mean": 5.0, "sd": None}
    assert b["errors"]["pairs_bad_2_percent"] == {"mean": 2.0, "sd": None}
    assert a["worse"] == {"epe_px": None, "bad_2_percent": None, "pairs_epe_px": False, "pairs_bad_2_percent": False}
    assert b["worse"] == {"epe_px": False, "bad_2_percent": False, "pairs_epe_px": None, "pairs_bad_2_percent": None}


def test_the_papers_figures_stand_beside_ours() -> None:
    figures = {table: {r.label: r.paper_epe for r in rows if r.paper_epe} for table, rows in TABLES.items()}
    assert figures["supervision"] == {"ground truth": 1.73, "ground truth + teacher, 1 : 1": 1.61, "teacher": 1.56}
    assert figures["loss"] == {"KL": 1.86, "L1": 1.78}
    assert figures["modules"]["setting 3, no hourglass"] == 5.04


def test_a_rehearsal_leaves_its_table_in_its_own_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    arguments = [
        "loss",
        "--config",
        str(path),
        "--out",
        str(tmp_path / "run"),
        "--threads",
        "1",
        "--accelerator",
        "cpu",
    ]
    assert ablate.main([*arguments, "--max-minutes", "0"]) == 3
    assert ablate.main([*arguments, "--rehearse", "1", "--run", "setting_3-kl-train-0"]) == 0
    rehearsed = tmp_path / "run-rehearsal"
    assert [path.name for path in (rehearsed / "runs").iterdir()] == ["setting_3-kl-train-0.json"]
    assert not (rehearsed / "loss.md").exists()
    assert ablate.main([*arguments, "--rehearse", "1", "--run", "setting_3-kl"]) == 2
    assert "--run is 'setting_3-kl'; expected one of setting_3-kl-train-0, setting_3-teacher" in capsys.readouterr().err
    assert ablate.main([*arguments, "--rehearse", "1"]) == 0
    assert "| KL | 1.86 | 1 | " in (tmp_path / "run-rehearsal" / "loss.md").read_text()
    assert not (tmp_path / "results").exists()
    # Finished runs are read from their records, in this and other tables: ground truth and L1 are done.
    shutil.rmtree(tmp_path / "run-rehearsal" / "setting_3-teacher-train-0")
    shutil.rmtree(tmp_path / "run-rehearsal" / "setting_3-ground_truth-train-0")
    assert ablate.main(["supervision", *arguments[1:], "--rehearse", "1"]) == 0
    made = sorted(path.name for path in (tmp_path / "run-rehearsal").glob("setting_3*"))
    assert made == ["setting_3-both-train-0", "setting_3-kl-train-0"]
    (rehearsed / "runs" / "setting_3-both-train-0.json").unlink()
    assert ablate.main(["supervision", *arguments[1:], "--rehearse", "1", "--so-far"]) == 0
    table = (rehearsed / "supervision.md").read_text()
    assert "| ground truth + teacher, 1 : 1 | 1.61 | 0 | not run | | | | |\n" in table
    assert "`python -m training.ablate supervision --so-far`" in table
    assert "| teacher | 1.56 | 1 | " in table
    shutil.rmtree(rehearsed / "runs")
    capsys.readouterr()
    assert ablate.main(["supervision", *arguments[1:], "--rehearse", "1", "--so-far"]) == 2
    assert "runs: no record of the table, or none of ground truth, seed 0" in capsys.readouterr().err
    path.write_text(yaml.safe_dump({**SMALL, "max_disparity_px": 64}))
    assert ablate.main([*arguments, "--rehearse", "1"]) == 2
    assert "begun with another config: max_disparity_px is 32, expected 64" in capsys.readouterr().err


def test_a_teacher_may_move_and_may_not_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in ("corr_m.json", *load_model("corr_m").manifest.files):
        shutil.copy(MODELS_DIR / file, moved)
    folders = ["--out", str(tmp_path / "run"), "--results", str(tmp_path / "results")]

    def run(teacher: str) -> int:
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({**SMALL, "teacher": {"model": teacher}}))
        return ablate.main(["loss", "--config", str(path), *folders, "--so-far", "--threads", "1"])

    assert run("corr_m") == 2
    assert "no record of the table" in capsys.readouterr().err
    assert run(str(moved / "corr_m.json")) == 2
    assert "no record of the table" in capsys.readouterr().err
    assert run("corr_m_p50") == 2
    assert "begun with another config: teacher_identity is " in capsys.readouterr().err


def test_the_budget_of_the_tables_can_be_read() -> None:
    config = load_ablation_config(Path(ablate.__file__).parent / "configs" / "ablate.yaml")
    assert (config.train.samples, config.seeds, config.max_disparity_px) == (20_000, 3, 96)
