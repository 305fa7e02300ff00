from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from lightning_fabric import Fabric

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.evaluation import score_pairs
from stereo_dp_ros.core.models import load_model
from stereo_dp_ros.core.pairs import PairFolder
from stereo_dp_ros.networks import build_network, describe_network, load_network
from training import export
from training.config import DataConfig, OptimConfig, TrainConfig
from training.errors import TrainingError
from training.export import count_macs, export_model, with_range
from training.onnx_export import PARITY_PX
from training.prune import PruneConfig, prune_step
from training.trainer import Trainer

BEGAN_WITH = {"name": "older", "sha256": "0f", "training": {"samples": 8}}


@dataclass(frozen=True)
class ShiftedNoise(PairFolder):
    """A noise scene as a pair."""

    tensors: dict[str, torch.Tensor]

    @classmethod
    def pairs(cls, scenes: Any) -> list[PairFolder]:
        return [cls("noise", str(i), Path(str(i)), scenes[i]) for i in range(2)]

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        left, right = (self.tensors[side].permute(1, 2, 0).contiguous().numpy() for side in ("left", "right"))
        return left, right

    def ground_truth_px(self) -> np.ndarray:
        return self.tensors["disparity"][0].numpy()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tiny_network: dict[str, Any], noise_scenes: Any) -> Path:
    """Manifest of a tiny pruned network exported after two steps."""
    out = tmp_path_factory.mktemp("run")
    network = build_network(tiny_network)
    prune_step(network, 1, PruneConfig(steps=1, fraction=0.5, round_to=4))
    config = TrainConfig(
        network=describe_network(network),
        samples=4,
        precision="32-true",
        data=DataConfig(crop_height_px=64, crop_width_px=96, workers=0),
        optim=OptimConfig(batch_size=2),
    )
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    trainer = Trainer(config, noise_scenes, out, fabric, began_with=BEGAN_WITH)
    trainer.run()
    return export_model(trainer.checkpoint_path, "tiny", out / "models", ShiftedNoise.pairs(noise_scenes))


def test_manifest_is_complete_and_its_hashes_hold(exported: Path) -> None:
    manifest = json.loads(exported.read_text())
    assert set(manifest["files"]) == {"tiny.onnx", "tiny.safetensors"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((exported.parent / name).read_bytes()).hexdigest() == digest
    assert manifest["network"]["type"] == "corr"
    assert (manifest["size_multiple"], manifest["max_disparity_px"]) == (32, 60.0)
    training = manifest["training"]
    assert (training["samples"], training["steps"], training["data"]) == (4, 2, "procedural")
    assert set(training) >= {"command", "commit", "seconds", "device", "date", "config"}
    assert training["began_with"] == BEGAN_WITH
    assert load_model(exported).name == "tiny"


def test_manifest_holds_what_the_shipped_file_scores(exported: Path, noise_scenes: Any) -> None:
    metrics = json.loads(exported.read_text())["metrics"]
    assert metrics["noise"]["scenes"] == 2
    assert metrics["noise"]["density"] == 100.0
    assert "images scaled by 1, small ones to 0 px" in metrics["measured"]
    scores = score_pairs(load_estimator(exported).infer, ShiftedNoise.pairs(noise_scenes))
    assert metrics["noise"]["epe"] == pytest.approx(np.mean([s.metrics["epe"] for s in scores]), abs=5e-4)


def test_onnx_equals_torch_at_sizes_it_was_not_traced_at(exported: Path) -> None:
    manifest = json.loads(exported.read_text())
    network = load_network(manifest["network"], exported.parent / "tiny.safetensors")
    session = onnxruntime.InferenceSession(exported.parent / "tiny.onnx", providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["left", "right"]
    assert [o.name for o in session.get_outputs()] == ["disparity", "confidence"]
    random = np.random.default_rng(0)
    for height, width in ((64, 96), (96, 64), (160, 224)):
        left, right = random.uniform(0, 255, (2, 1, 3, height, width)).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(left), torch.from_numpy(right))
        disparity, confidence = session.run(None, {"left": left, "right": right})
        assert np.asarray(disparity).shape == (1, 1, height, width)
        # Rounding decides between two disparities that are equally likely, so not every pixel has to agree.
        difference_px = np.abs(np.asarray(disparity) - expected.disparity.numpy())
        assert np.quantile(difference_px, 0.999) <= PARITY_PX
        assert np.quantile(np.abs(np.asarray(confidence) - expected.confidence.numpy()), 0.999) <= 1e-3


def test_a_model_of_that_name_stays_whole_if_the_new_one_is_not_right(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "export_onnx", lambda _network, path: path.write_bytes(b"another"))
    monkeypatch.setattr(export, "onnx_difference_px", lambda _network, _path: 0.02)
    before = {path.name: path.read_bytes() for path in exported.parent.iterdir()}
    with pytest.raises(TrainingError, match=r"tiny\.onnx differs from torch by 0\.0200 px; expected at most 0\.01"):
        export_model(exported.parents[1] / "last.pt", "tiny", exported.parent)
    assert {path.name: path.read_bytes() for path in exported.parent.iterdir()} == before


def test_sizes_that_cannot_be_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for option, said in (("--scale=0", "'0', expected a number above 0"), ("--scenes=-1", "'-1', expected a whole n")):
        with pytest.raises(SystemExit):
            export.main(["last.pt", "--name", "x", option])
        assert f"training.export: argument {option.partition('=')[0]}: {said}" in capsys.readouterr().err


def test_onnx_tells_nothing_of_the_machine_that_wrote_it(exported: Path) -> None:
    content = (exported.parent / "tiny.onnx").read_bytes()
    assert str(Path(__file__).resolve().parents[2]).encode() not in content
    assert b"stack_trace" not in content


def test_a_network_whose_disparities_share_their_weights_searches_another_range(tiny_network: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build_network(tiny_network).eval()
    shorter = with_range(network, 32)
    assert (network.max_disparity_px, shorter.max_disparity_px) == (60.0, 28.0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), shorter.parameters(), strict=True))
    assert count_macs(shorter, 96, 64) < count_macs(network, 96, 64)
    with pytest.raises(TrainingError, match="dtpnet learns each disparity's weights; its range cannot be changed"):
        with_range(build_network({"type": "dtpnet"}), 96)


def test_macs_are_counted_without_a_factor_of_two() -> None:
    class OneConvolution(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)

        def forward(self, left: Any, right: Any) -> Any:
            return self.conv(left) + self.conv(right)

    assert count_macs(OneConvolution(), 10, 6) == 2 * 60 * 3 * 8 * 9


def test_macs_of_the_first_student() -> None:
    assert count_macs(build_network({"type": "corr"})) == 5_026_252_800
