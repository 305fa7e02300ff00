"""Widening: the same answers, and new channels that training can use."""

import sys
from pathlib import Path

import pytest
import torch

from stereo_dp_ros.networks import build_network
from training import train
from training.config import TrainConfig
from training.errors import TrainingError
from training.widen import widened

PARENT = Path(train.__file__).parent / "checkpoints" / "corr_s.json"

SMALL = {"stem_channels": 8, "feature_channels": [16, 24, 32], "volume_channels": [8, 16, 24]}
WIDE = {"stem_channels": 16, "feature_channels": [24, 32, 32], "volume_channels": [16, 24, 40]}


def corr(**config):
    return {"type": "corr", "config": {"max_disparity_px": 64, **config}}


def pair():
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(1, 3, 64, 96, generator=generator) * 255.0 for _ in range(2)]


@pytest.fixture
def narrow():
    torch.manual_seed(0)
    network = build_network(corr(**SMALL)).train()
    with torch.no_grad():
        for _ in range(3):  # running statistics that are not those of a new network
            network(*pair())
    return network.eval()


def test_a_wider_network_gives_the_same_answers(narrow):
    wide = widened(narrow, corr(**WIDE))
    with torch.no_grad():
        before, after = narrow(*pair()), wide(*pair())
    assert before.disparity.std() > 0.1
    torch.testing.assert_close(after.logits, before.logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(after.disparity, before.disparity, rtol=0, atol=1e-3)
    assert wide.get_submodule("features.down4.0.0").weight.shape == (24, 16, 3, 3)


def test_new_channels_are_half_as_heavy_and_learn(narrow):
    wide = widened(narrow, corr(**WIDE)).train()
    weight = wide.get_submodule("features.down4.1.first.0").weight
    assert weight[:16, 16:].abs().max() == 0.0
    norms = weight.detach().flatten(1).norm(dim=1)
    assert float(norms[16:].mean() / norms[:16].mean()) == pytest.approx(0.5, rel=1e-5)
    wide(*pair()).disparity.mean().backward()
    assert weight.grad[:16, 16:].abs().max() > 0.0


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            corr(**{**WIDE, "volume_channels": [8, 8, 24]}),
            r"volume_channels is \[8, 8, 24\]; expected at least \[8",
        ),
        (corr(**WIDE, mask_channels=48), "mask_channels is 48; expected 32, as only"),
        ({"type": "psmnet"}, "cannot widen corr to psmnet"),
        ({**corr(**SMALL), "channels": {"match8": [24, 24]}}, "cannot widen a pruned network"),
    ],
)
def test_what_is_not_wider_is_one_line(narrow, wanted, said):
    with pytest.raises(TrainingError, match=said) as raised:
        widened(narrow, wanted)
    assert "\n" not in str(raised.value)


def test_a_run_begins_with_a_wider_network():
    wanted = {"type": "corr", "config": {"volume_channels": [32, 32, 64]}}
    config, state = train.begun_with(str(PARENT), TrainConfig(wanted, 4), widen=True)
    _, narrow = train.begun_with(str(PARENT), TrainConfig({"type": "corr"}, 4))
    assert config.network["config"]["volume_channels"] == [32, 32, 64]
    name = "aggregation.before.0.within.0.weight"
    assert state[name].shape[:2] == (32, 32)
    assert torch.equal(state[name][:16, :16], narrow[name])
    with pytest.raises(TrainingError, match="cannot widen a pruned network"):
        train.begun_with("corr_m_p50", TrainConfig(wanted, 4), widen=True)


def test_widening_needs_a_model_to_widen(tmp_path, monkeypatch, capsys):
    path = tmp_path / "run.yaml"
    path.write_text("network: {type: corr}\nsamples: 3\noptim: {batch_size: 3}\n")
    monkeypatch.setattr(sys, "argv", ["train", "--config", str(path), "--out", str(tmp_path / "out"), "--widen"])
    assert train.main() == 2
    assert capsys.readouterr().err == "training.train: --widen without --init; expected a model to widen\n"
