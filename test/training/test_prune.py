from __future__ import annotations

from typing import Any

import pytest
import torch
from small_networks import SMALL_CORR
from torch import nn

from stereo_dp_ros.networks import build_network, describe_network, load_network, save_weights
from stereo_dp_ros.networks.channels import channel_table
from training.errors import TrainingError
from training.prune import PruneConfig, original_channels, prune_step

SMALL: dict[str, Any] = {"max_disparity_px": 32, "stem_channels": 16, "stage_blocks": [1, 1, 1, 1]}
BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def pruned(kind: str, config: dict[str, Any], prune: PruneConfig) -> nn.Module:
    torch.manual_seed(0)
    network = build_network({"type": kind, "config": config})
    for step in range(1, prune.steps + 1):
        prune_step(network, step, prune)
    return network.eval()


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def images(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.rand(1, 3, 64, 128, generator=generator) * 255 for _ in range(2))
    return left, right


def kept_outputs(network: nn.Module) -> dict[str, str]:
    """Output widths "kept/original" of the convolutions that are not at half of their original width."""
    original = original_channels(network)
    modules = dict(network.named_modules())
    return {
        name: f"{channels[1]}/{original[name][1]}"
        for name, channels in channel_table(network).items()
        if not isinstance(modules[name], BATCH_NORMS)
        and 2 * channels[1] not in (original[name][1], original[name][1] + 1)
    }


def test_five_steps_leave_four_tenths_of_dtpnet() -> None:
    torch.manual_seed(0)
    network = build_network({"type": "dtpnet", "config": {}})
    prune_step(network, 5, PruneConfig())  # each step cuts to a share of the original: the last one leaves the same
    assert parameters(network) == 252_944
    assert parameters(network) / 643_504 == pytest.approx(0.4, abs=0.01)
    # Every layer but the ports of the disparities shrank to half.
    assert kept_outputs(network) == {
        "cost.layers.2.3.0": "48/48",
        "regression.hourglasses.0.up2.0": "48/48",
        "regression.hourglasses.0.skip2.0": "48/48",
        "regression.heads.0": "192/192",
    }


def test_each_step_takes_a_tenth_of_the_original_channels() -> None:
    torch.manual_seed(0)
    network = build_network({"type": "dtpnet", "config": SMALL})
    widths = [prune_step(network, step, PruneConfig())["features.stages.1.0.first.3.0"][1] for step in (1, 2, 5)]
    assert widths == [58, 51, 32]  # of 64


def test_a_step_made_in_another_process_is_the_same() -> None:
    torch.manual_seed(0)
    network = build_network({"type": "dtpnet", "config": SMALL})
    prune_step(network, 1, PruneConfig())
    again = build_network(describe_network(network))
    again.load_state_dict(network.state_dict(), strict=True)
    assert prune_step(network, 2, PruneConfig()) == prune_step(again, 2, PruneConfig())
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize(
    ("config", "ports"),
    [
        ({**SMALL, "stages": 4, "spp": True}, {"cost.layers.2.3.0"}),
        ({**SMALL, "cost": "interlaced"}, {"cost.reduce.0", "cost.leave.0"}),
    ],
)
def test_every_module_switch_prunes(config: dict[str, Any], ports: set[str]) -> None:
    network = pruned("dtpnet", config, PruneConfig(steps=1, fraction=0.5))
    head = {"regression.heads.0", "regression.hourglasses.0.up2.0", "regression.hourglasses.0.skip2.0"}
    if "cost.leave.0" in ports:
        ports = ports - {"cost.leave.0"}  # one channel: half of it, rounded up
    assert set(kept_outputs(network)) == head | ports
    assert network(*images()).disparity.shape == (1, 1, 64, 128)


def test_corr_shrinks_everywhere_but_at_its_ports_in_multiples_of_eight() -> None:
    network = pruned("corr", SMALL_CORR, PruneConfig(steps=1, fraction=0.5, round_to=8))
    table, original = channel_table(network), original_channels(network)
    modules = dict(network.named_modules())
    same = {n for n in table if not isinstance(modules[n], BATCH_NORMS) and table[n][1] == original[n][1]}
    assert same == {"aggregation.leave", "aggregation.skip", "mask"}
    assert [n for n in table if n not in same and table[n][1] % 8] == []
    assert [table[n][1] for n in ("match4", "match2", "match8", "features.down8.0.0")] == [8, 8, 8, 16]
    assert table["aggregation.enter.0"][0] == original["aggregation.enter.0"][0] == 8 + 4  # the volumes' channels
    assert network(*images()).disparity.shape == (1, 1, 64, 128)


@pytest.mark.parametrize(("kind", "config"), [("dtpnet", SMALL), ("corr", SMALL_CORR)])
def test_a_pruned_network_comes_back_from_table_and_safetensors(kind: str, config: Any, tmp_path: Any) -> None:
    network = pruned(kind, config, PruneConfig(steps=1, fraction=0.4, round_to=8 if kind == "corr" else 1))
    save_weights(network, tmp_path / "pruned.safetensors")
    again = load_network(describe_network(network), tmp_path / "pruned.safetensors")
    with torch.no_grad():
        assert torch.equal(network(*images()).disparity, again(*images()).disparity)


def test_channels_that_say_nothing_go_first_and_the_answer_stays() -> None:
    """Half the channels inside the hourglass have zero weights everywhere: they go, and nothing changes."""
    torch.manual_seed(0)
    network: Any = build_network({"type": "dtpnet", "config": SMALL}).eval()
    hourglass = network.regression.hourglasses[0]
    first, second = hourglass.down1
    silent = [1, 4, 6, 7, 8, 11, 12, 15]  # of 16
    with torch.no_grad():
        first[0].weight[silent] = 0
        second[0].weight[:, silent] = 0
        kept = first[0].weight[[c for c in range(16) if c not in silent]].clone()
        x = torch.rand(1, 8, 16, 16)
        before = second[0](first(x))
        prune_step(network, 1, PruneConfig(steps=1, fraction=0.5))
        after = second[0](first(x))
    assert torch.equal(first[0].weight, kept)
    assert after.shape == (1, 8, 8, 8)
    for channel in after[0]:
        assert any(torch.allclose(channel, other, atol=1e-6) for other in before[0])


def test_no_layer_goes_below_the_least() -> None:
    config = {**SMALL_CORR, "stem_channels": 16, "feature_channels": [32, 32, 32]}
    network = pruned("corr", config, PruneConfig(steps=1, fraction=0.5, round_to=8, least=16))
    table = channel_table(network)
    assert [table[n][1] for n in ("features.stem.0.0", "aggregation.enter.0", "match4")] == [16, 16, 16]
    assert [table[n][1] for n in ("features.down4.0.0", "features.down16.0.0", "mask4.0")] == [16, 16, 16]
    assert network(*images()).disparity.shape == (1, 1, 64, 128)


def test_spared_groups_stay_whole_and_the_others_shrink() -> None:
    spare = ["aggregation.*32.*", "match4"]
    table = channel_table(pruned("corr", {}, PruneConfig(round_to=8, least=16, spare=spare)))
    whole = channel_table(pruned("corr", {}, PruneConfig(round_to=8, least=16)))
    changed = {name: (whole[name][1], channels[1]) for name, channels in table.items() if channels[1] != whole[name][1]}
    assert all(change in ((32, 64), (16, 32)) for change in changed.values())
    convolutions = {"aggregation.down32.0", "aggregation.guide32.project", "match4", "match2"}
    convolutions |= {f"aggregation.blocks32.{b}.{part}.0" for b in (0, 1) for part in ("within", "across")}
    assert {name for name in changed if name in convolutions or not name.endswith(".1")} == convolutions


def test_a_name_to_spare_that_no_layer_has_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"prune.spare: no layer is named agregation\.\*"):
        pruned("dtpnet", SMALL, PruneConfig(steps=1, spare=["agregation.*"]))


def test_channels_that_are_added_before_a_product_go_together() -> None:
    torch.manual_seed(0)
    network: Any = build_network({"type": "corr", "config": SMALL_CORR})
    with torch.no_grad():
        for layer, loud in ((network.match4, range(4)), (network.match2, range(12, 16))):
            layer.weight.fill_(0.1)
            for channel in loud:
                layer.weight[channel] = channel + 100.0
    prune_step(network, 1, PruneConfig(steps=1, fraction=0.5))
    kept = [*range(4), *range(12, 16)]
    for layer, loud in ((network.match4, range(4)), (network.match2, range(12, 16))):
        expected = [c + 100.0 if c in loud else pytest.approx(0.1) for c in kept]
        assert layer.weight[:, 0, 0, 0].tolist() == expected


def test_the_least_important_correlated_channels_go_evenly_from_each_group() -> None:
    torch.manual_seed(0)
    network = build_network({"type": "corr", "config": SMALL_CORR})
    layer = network.get_submodule("match8")
    loud = [0, 3, 5, 6, 8, 9, 14, 15]  # two of each four
    with torch.no_grad():
        layer.weight[:] = 0.1  # type: ignore[index,operator,union-attr]
        for channel in loud:
            layer.weight[channel] = channel + 1.0  # type: ignore[index,operator]
    prune_step(network, 1, PruneConfig(steps=1, fraction=0.5))
    assert layer.weight[:, 0, 0, 0].tolist() == [c + 1.0 for c in loud]  # type: ignore[index,operator,union-attr]


def test_a_pruned_network_trains() -> None:
    network = pruned("dtpnet", SMALL, PruneConfig(steps=1, fraction=0.3)).train()
    network(*images()).disparity.sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or p.grad.shape != p.shape] == []


def test_a_pruned_architecture_from_scratch_starts_from_finite_weights() -> None:
    description = describe_network(pruned("dtpnet", SMALL, PruneConfig(steps=1, fraction=0.5)))
    torch.manual_seed(3)
    fresh = build_network(description)
    assert all(torch.isfinite(p).all() and p.abs().max() < 10 for p in fresh.parameters())
    torch.manual_seed(3)
    for a, b in zip(fresh.parameters(), build_network(description).parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_cannot_be_pruned_says_so() -> None:
    network = build_network({"type": "psmnet", "config": {"max_disparity_px": 32, "width": 4}})
    with pytest.raises(TrainingError, match="psmnet cannot be pruned; there are ports of: corr, dtpnet"):
        prune_step(network, 1, PruneConfig())
    with pytest.raises(TrainingError, match="pruning step is 6; expected 1 to 5"):
        prune_step(network, 6, PruneConfig())
    with pytest.raises(TrainingError, match="10 steps of 0.1"):
        PruneConfig(steps=10)
