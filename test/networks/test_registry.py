from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_networks import TINY

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.networks import build_network, describe_network, load_network, save_weights


def test_rebuilt_from_json_and_safetensors_gives_the_same_output(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(TINY).eval()
    save_weights(network, tmp_path / "w.safetensors")
    description = json.loads(json.dumps(describe_network(network)))
    assert description["channels"] == {}
    again = load_network(description, tmp_path / "w.safetensors")
    left, right = torch.rand(2, 1, 3, 64, 64) * 255
    with torch.inference_mode():
        assert torch.equal(network(left, right).disparity, again(left, right).disparity)


def test_channel_table_of_a_narrowed_network_rebuilds_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    table = {
        "aggregation.before.0.within.0": [8, 3],
        "aggregation.before.0.within.1": [3, 3],
        "aggregation.before.0.across.0": [3, 8],
        "mask4.0": [8, 5],
        "mask4.1": [5, 5],
        "mask": [9, 144],
    }
    narrow = build_network({**TINY, "channels": table}).eval()
    for parameter in narrow.parameters():
        torch.nn.init.uniform_(parameter, -0.2, 0.2)
    description = json.loads(json.dumps(describe_network(narrow)))
    assert description["channels"] == table
    save_weights(narrow, tmp_path / "w.safetensors")
    again = load_network(description, tmp_path / "w.safetensors")
    left, right = torch.rand(2, 1, 3, 64, 64) * 255
    with torch.inference_mode():
        assert torch.equal(narrow(left, right).disparity, again(left, right).disparity)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(build_network(TINY), tmp_path / "w.safetensors")
    other = {**TINY, "config": {**TINY["config"], "mask_channels": 16}}
    with pytest.raises(
        ModelError, match=r"w\.safetensors: cannot be loaded .*mask\.weight.*, expected weights of the d"
    ):
        load_network(other, tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"half")
    for name in ("w", "nowhere"):
        with pytest.raises(ModelError, match=rf"{name}\.safetensors: cannot be loaded") as raised:
            load_network(TINY, tmp_path / f"{name}.safetensors")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"type": "cor"}, "unknown network type 'cor'; there are: .*corr"),
        ({"type": "corr", "config": {"stem": 8}}, "unknown fields for network 'corr': stem; there are: "),
        (
            {"type": "corr", "config": {"stem_channels": "8", "match_channels": [8], "feature_channels": [8, 8, 8.5]}},
            r"network corr: stem_channels is '8', expected int; match_channels is \(8,\), expected 2 of int;"
            r" feature_channels is \(8, 8, 8\.5\), expected 3 of int",
        ),
        ({"type": "dtpnet", "config": {"spp": 1}}, "network dtpnet: spp is 1, expected bool"),
        ({"type": "corr", "chanels": {}}, "unknown keys: chanels"),
        ({"type": "corr", "channels": {"nowhere": [1, 1]}}, "layers that the network does not have: nowhere"),
    ],
)
def test_a_wrong_description_is_named(description: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_network(description)
