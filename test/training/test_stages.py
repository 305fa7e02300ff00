from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric import Fabric

from stereo_dp_ros.core.models import load_model
from training import latency
from training.config import DataConfig
from training.distill import DistillConfig
from training.latency import runtime_latency_ms
from training.stage_config import RunConfig, ValidationConfig
from training.stages import Workshop
from training.teacher import NetworkTeacher, model_network
from training.trainer import Trainer


def test_latency_in_a_runtime_is_that_of_the_exported_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def shipped(_network: Any, path: Path) -> None:
        shutil.copy(load_model("corr_m").onnx_path, path)

    monkeypatch.setattr(latency, "export_onnx", shipped)
    milliseconds, runtime = runtime_latency_ms(model_network("corr_m"), "onnxruntime", 96, 64)
    assert milliseconds > 0
    assert runtime == "onnxruntime fp32"


@pytest.mark.parametrize(("ground_truth", "fine"), [(0.0, False), (1.0, True)])
def test_disparity_at_full_resolution_is_only_trained_on_with_ground_truth(
    ground_truth: float, fine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    monkeypatch.setattr(Trainer, "run", lambda trainer, _stop: trained.append(trainer.network))
    data = {"scenes": DataConfig(workers=0)}
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    workshop = Workshop(tmp_path, data, ValidationConfig("scenes"), fabric, lambda: False)
    network = {"type": "dtpnet", "config": {"max_disparity_px": 32, "stage_blocks": [1, 1, 1, 1]}}
    loss = DistillConfig(ground_truth=ground_truth)
    teacher = NetworkTeacher(model_network("corr_m"))
    assert workshop.fit("student", network, [RunConfig("scenes", 4)], loss, teacher=teacher) is None
    assert [network.fine for network in trained] == [fine]
