from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stereo_dp_ros.networks import build_network, describe_network, save_weights
from training.config import DataConfig, TrainConfig
from training.errors import TrainingError
from training.prune import PruneConfig, prune_step
from training.record import model_record
from training.train import begun_with, training_scenes


@pytest.fixture
def manifest(tmp_path: Path, tiny_network: dict[str, object]) -> Path:
    """A manifest with random weights; its ONNX is never read."""
    torch.manual_seed(3)
    network = build_network(tiny_network)
    save_weights(network, tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.onnx").write_bytes(b"")
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.glob("tiny.*")}
    content = {
        "name": "tiny",
        "size_multiple": 32,
        "max_disparity_px": 60.0,
        "files": files,
        "network": describe_network(network),
    }
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(content))
    return path


def test_a_run_starts_from_a_models_weights(manifest: Path, tiny_network: dict[str, object]) -> None:
    config, weights = begun_with(str(manifest), TrainConfig(network=tiny_network, samples=4))
    assert config.network == describe_network(build_network(tiny_network))
    torch.manual_seed(3)
    for name, value in build_network(tiny_network).state_dict().items():
        assert torch.equal(weights[name], value), name


def test_a_pruned_model_is_trained_on_as_it_is(manifest: Path, tiny_network: dict[str, object]) -> None:
    network = build_network(tiny_network)
    prune_step(network, 1, PruneConfig(steps=1, fraction=0.5))
    save_weights(network, manifest.with_suffix(".safetensors"))
    content = json.loads(manifest.read_text())
    content["network"] = describe_network(network)
    content["files"]["tiny.safetensors"] = hashlib.sha256(manifest.with_suffix(".safetensors").read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))
    config, weights = begun_with(str(manifest), TrainConfig(network=tiny_network, samples=4))
    assert config.network == describe_network(network) and config.network["channels"]
    build_network(config.network).load_state_dict(weights, strict=True)


def test_a_run_begins_with_the_scene_that_it_is_told() -> None:
    data = DataConfig(scene={"width_px": 96, "height_px": 64, "max_disparity_px": [8.0, 16.0]})
    later, first = (
        training_scenes(TrainConfig(network={}, samples=4, data=data, first_scene=scene)) for scene in (3, 0)
    )
    assert torch.equal(later[2]["left"], first[5]["left"])
    assert not torch.equal(later[2]["left"], first[2]["left"])
    with pytest.raises(TrainingError, match="first_scene is -1; expected at least 0"):
        TrainConfig(network={}, samples=4, first_scene=-1)


def test_no_run_reaches_the_scenes_of_validation() -> None:
    training_scenes(TrainConfig(network={}, samples=4, first_scene=9_999_996))
    with pytest.raises(TrainingError, match=r"first_scene \+ samples is 10000001; expected at most 10000000"):
        training_scenes(TrainConfig(network={}, samples=4, first_scene=9_999_997))


def test_what_a_model_was_made_by_is_recorded_without_its_network(manifest: Path) -> None:
    content = json.loads(manifest.read_text())
    content["training"] = {"commit": "c0ffee", "config": {"network": {"type": "corr"}, "samples": 8}}
    manifest.write_text(json.dumps(content))
    assert model_record(str(manifest)) == {
        "name": "tiny",
        "sha256": content["files"]["tiny.safetensors"],
        "training": {"commit": "c0ffee", "config": {"samples": 8}},
    }


def test_a_model_of_another_network_is_refused(manifest: Path) -> None:
    with pytest.raises(TrainingError, match="has another network .* than the config"):
        begun_with(str(manifest), TrainConfig(network={"type": "corr"}, samples=4))


# In a process of its own: a runtime that an earlier test loaded may have moved this one's signal stack.
STOP_REQUESTS = """
import signal
from training.train import StopRequest

stop = StopRequest(None)
seen = [stop()]
signal.raise_signal(signal.SIGTERM)
print([*seen, stop(), StopRequest(0.0)(), StopRequest(10.0)()])
"""


def test_a_signal_or_the_time_asks_to_stop(repository: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", STOP_REQUESTS], cwd=repository, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout == "[False, True, True, False]\n"
