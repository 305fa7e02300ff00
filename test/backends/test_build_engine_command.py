"""`stereo-dp build-engine`, on a stand-in GPU with a stand-in TensorRT."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from stereo_dp_ros.backends import create_backend
from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import load_model


@pytest.fixture
def command(toy):
    return ["build-engine", "--model", str(toy.onnx_path.with_suffix(".json")), "--size", "64x32"]


def test_it_builds_and_prints_the_figures(machine, command, capsys):
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "/cache/stereo_dp_ros/engines/toy-64x32-fp16-" in out
    assert ".engine: built; differs from ONNX Runtime on the CPU by 0.0" in out
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["built"] is False and report["converter"] == "onnx"
    assert set(report["figures"]) == {"pairs", "mean_px", "far_percent", "confidence"}


@pytest.mark.parametrize(
    ("manifest", "sizes", "engine"),
    [
        ({}, ["--size", "60x30"], "toy-64x32-"),  # padded
        ({"min_area_px": 7200}, ["--size", "60x30"], "toy-128x64-"),  # enlarged, as the node does, then padded
        ({"min_area_px": 7200}, ["--size", "60x30", "--inference-size", "60x30"], "toy-64x32-"),
    ],
)
def test_the_engine_is_of_the_size_that_the_node_gives_the_network(machine, command, capsys, manifest, sizes, engine):
    path = Path(command[2])
    path.write_text(json.dumps({**json.loads(path.read_text()), **manifest}))
    assert main([*command[:3], *sizes]) == 0
    assert engine in capsys.readouterr().out


def test_the_command_that_a_missing_engine_is_told_with_builds_it(machine, command):
    path = Path(command[2])
    path.write_text(json.dumps({**json.loads(path.read_text()), "scale": 1.5}))
    assert main(command) == 0
    backend = create_backend("tensorrt", load_model(path))
    pair = (np.zeros((96, 160, 3), np.uint8),) * 2
    with pytest.raises(BackendError) as caught:
        backend.infer(*pair)
    words = str(caught.value).partition("build it: stereo-dp ")[2].removesuffix(")").split()
    assert words[:3] == ["build-engine", "--model", str(path)]
    assert main(words) == 0
    assert backend.infer(*pair)[0].shape == (96, 160)


def test_models_lists_the_stored_engines(machine, command, capsys):
    assert main(command) == 0
    capsys.readouterr()
    assert main(["models", "--backends"]) == 0
    out = capsys.readouterr().out
    assert f"  toy 64x32 fp16, TensorRT {machine.trt.__version__}, Stand-in GPU\n" in out
    assert "tensorrt              fp16 fp32        works\n" in out


def test_a_refused_engine_is_one_line_and_exit_code_2(machine, command, capsys):
    machine.faults.distort = lambda disparity, confidence: (disparity + 2, confidence)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("stereo-dp build-engine: the engine is refused") and error.count("\n") == 1
    assert "mean_px 2.0" in error and "far_percent 100.0" in error


def test_without_a_gpu(no_gpu, command, capsys):
    assert main(command) == 2
    assert "no NVIDIA driver is installed" in capsys.readouterr().err


def test_without_tensorrt(cuda, command, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(command) == 2
    assert "TensorRT cannot be imported" in capsys.readouterr().err


def test_without_what_building_needs(machine, command, capsys, monkeypatch):
    for module in ("tensorrt_onnx", "onnx_graphs", "half_graph"):
        monkeypatch.delitem(sys.modules, f"stereo_dp_ros.backends.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(command) == 2
    assert "needs onnx (pip install onnx)" in capsys.readouterr().err
