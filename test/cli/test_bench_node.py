"""What `stereo-dp bench --node` prints; the trials themselves are tested in test/replay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stereo_dp_ros.cli import bench_node
from stereo_dp_ros.cli.main import main
from stereo_dp_ros.replay.node_timing import NodeTimer, Trial
from toy_model import write_toy_model


def fake_row(_: NodeTimer, trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.name,
        "size": f"{trial.size_px[0]}x{trial.size_px[1]}",
        "input_hz": trial.rate_hz or 25.0,
        "output_hz": 16.0,
        "estimator_hz": 20.0,
        "rate_ratio": 0.8,
        "inference_p50_ms": 40.0,
        "latency_p50_ms": 47.0,
        "latency_max_ms": 90.0,
        "latency_minus_inference_ms": 7.0,
        "node_minus_inference_ms": 26.0,
        "pairs_published": 160,
        "pairs_dropped": {"superseded": 90},
        "count_closes": True,
        "rounds": 4,
        "steady_rounds": 3,
    }


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_node, "require_modules", lambda *_: None)
    monkeypatch.setattr(NodeTimer, "run", fake_row)
    monkeypatch.setattr(bench_node.MachineLoad, "others_percent", lambda _load: 12.4)  # the clock may not have ticked
    return str(write_toy_model(tmp_path))


def test_json_has_rows_and_goals(toy, capsys):
    assert main(["bench", "--node", "--model", toy, "--threads", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["threads"]) == ("toy", 2)
    assert report["others_percent"] == 12.4
    assert [row["size"] for row in report["rows"]] == ["640x480"] * 3 + ["1280x720", "640x480"]
    assert [goal["met"] for goal in report["goals"]] == [True, False, True, False, True, True]
    assert report["goals"][1] == {
        "goal": "throughput, disparity alone, of the estimator's",
        "value": 0.8,
        "limit": 0.9,
        "at_least": True,
        "unit": "",
        "met": False,
    }


def test_table_says_what_is_not_met(toy, capsys):
    assert main(["bench", "--node", "--model", toy, "--size", "320x256"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("NOT MET" in line for line in lines) == 2
    assert lines.count("other processes took 12 % of the machine meanwhile") == 1
    assert any(line.split() == ["60", "Hz", "320x256", "60.0", "16.0", "20.0", "0.80", "40.0", "47.0", "90.0", "160",
                                "90", "3", "of", "4"] for line in lines)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--backend", "onnxruntime", "--stages"], "--backend, --stages is not of --node, expected --model"),
        (["--pairs", "somewhere"], "--pairs is not of --node"),
        (["--size", "320x256", "--size", "640x480"], "2 sizes are given with --node, expected one"),
    ],
)
def test_what_only_bench_without_the_node_takes_is_refused(toy, capsys, options, told):
    assert main(["bench", "--node", "--model", toy, *options]) == 2
    assert told in capsys.readouterr().err


def test_one_model_at_a_time(toy, capsys):
    assert main(["bench", "--node", "--model", toy, "--model", "default"]) == 2
    assert capsys.readouterr().err.endswith("default, expected one with --node\n")
