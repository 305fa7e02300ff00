from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from stereo_dp_ros.core.models import load_model
from training import stages
from training.stages import runtime_latency_ms
from training.teacher import model_network


def test_latency_in_a_runtime_is_that_of_the_exported_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def shipped(_network: Any, path: Path) -> None:
        shutil.copy(load_model("corr_s").onnx_path, path)

    monkeypatch.setattr(stages, "export_onnx", shipped)
    milliseconds, runtime = runtime_latency_ms(model_network("corr_s"), "onnxruntime", 96, 64)
    assert milliseconds > 0
    assert runtime == "onnxruntime fp32"
