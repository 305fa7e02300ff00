from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from small_networks import SMALL_CORR

from stereo_dp_ros.networks import build_network, describe_network, save_weights
from training.errors import TrainingError
from training.export_source import averaged

ENDS = (".onnx", ".safetensors")


def model(folder: Path, name: str, value: float, **changes: Any) -> str:
    """Manifest of a `corr` whose floating-point state is `value` throughout."""
    network = build_network({"type": "corr", "config": {**SMALL_CORR, **changes}})
    network.calibration = (value, 0.5)
    for tensor in network.state_dict().values():
        tensor.fill_(value)
    (folder / f"{name}.onnx").touch()
    save_weights(network, folder / f"{name}.safetensors")
    files = {f"{name}{end}": hashlib.sha256((folder / f"{name}{end}").read_bytes()).hexdigest() for end in ENDS}
    manifest = {"name": name, "size_multiple": 32, "max_disparity_px": 28.0, "files": files}
    manifest |= {"network": describe_network(network), "training": {"samples": int(value)}}
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    return str(folder / f"{name}.json")


def test_the_mean_of_the_weights_is_exported_and_who_they_were_is_kept(tmp_path: Path) -> None:
    names = [model(tmp_path, name, value) for name, value in (("a", 1.0), ("b", 2.0), ("c", 6.0))]
    network, record = averaged(names)
    floating = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    assert floating and all((value == 3.0).all() for value in floating.values())
    assert record == {"samples": 1, "averaged_with": [{"samples": 2}, {"samples": 6}]}
    assert network.calibration == (1.0, 0.5)


def test_one_source_is_taken_as_it_is(tmp_path: Path) -> None:
    network, record = averaged([model(tmp_path, "a", 2.0)])
    assert all((value == 2.0).all() for value in network.state_dict().values())
    assert record == {"samples": 2}
    assert not network.training


def test_networks_of_other_shapes_have_no_mean(tmp_path: Path) -> None:
    names = [model(tmp_path, "a", 1.0), model(tmp_path, "b", 2.0, stem_channels=24)]
    with pytest.raises(
        TrainingError, match=r"b\.json: is another network than .*a\.json: config\.stem_channels is 24, expected 16"
    ):
        averaged(names)
