"""What the package ships is what its manifests say."""

from __future__ import annotations

from pathlib import Path

import pytest

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.evaluation import score_pairs, set_rows
from stereo_dp_ros.core.models import list_models, load_model
from stereo_dp_ros.core.pairs import find_pairs
from stereo_dp_ros.networks import describe_network, load_network
from training.export import count_macs
from training.onnx_export import PARITY_PX, onnx_difference_px
from training.validation import validation_pairs

SHIPPED = list_models()


def test_at_least_one_model_is_shipped() -> None:
    assert SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_rebuilt_from_its_manifest_and_weights(name: str) -> None:
    model = load_model(name)
    manifest = model.manifest
    network = load_network(manifest.network, model.file_with_suffix(".safetensors"))
    assert describe_network(network) == manifest.network
    assert sum(p.numel() for p in network.parameters()) == manifest.parameters
    assert count_macs(network, *manifest.plan((640, 480)).padded_size) == manifest.macs_640x480
    assert (network.size_multiple, network.max_disparity_px) == (manifest.size_multiple, manifest.max_disparity_px)
    assert onnx_difference_px(network, model.onnx_path) <= PARITY_PX


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_small_and_its_record_complete(name: str) -> None:
    model = load_model(name)
    assert model.onnx_path.stat().st_size < 15e6
    assert set(model.manifest.training) >= {
        "data",
        "command",
        "commit",
        "steps",
        "samples",
        "seconds",
        "device",
        "date",
    }
    assert len(str(model.manifest.training["commit"])) >= 40


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_scores_on_real_pairs_what_its_manifest_says(name: str, data_folder: Path) -> None:
    rows = set_rows(score_pairs(load_estimator(name).infer, find_pairs(data_folder / "pairs")))
    figures = load_model(name).manifest.metrics
    assert {row["name"] for row in rows} == set(figures) - {"procedural", "measured", "calibration_error", "right"}
    for row in rows:
        expected = figures[row["name"]]
        assert row["scenes"] == expected["scenes"]
        # The manifest's figures may be from another runtime and precision.
        assert row["epe"] <= 1.02 * expected["epe"], row["name"]
        assert row["bad_2"] <= 1.02 * expected["bad_2"], row["name"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_scores_on_procedural_scenes_what_its_manifest_says(name: str) -> None:
    expected = load_model(name).manifest.metrics["procedural"]
    estimator = load_estimator(name, "onnxruntime")
    (row,) = set_rows(score_pairs(estimator.infer, validation_pairs(expected["scenes"])))
    # The manifest's figures are from another runtime and precision, the scenes perhaps from another OpenCV.
    assert row["epe"] <= 1.05 * expected["epe"]
    assert row["bad_2"] <= 1.05 * expected["bad_2"]
