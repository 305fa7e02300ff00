from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.networks import build_network, describe_network
from stereo_dp_ros.networks.dtpnet import SETTINGS, DtpConfig, DtpNetwork
from stereo_dp_ros.networks.dtpnet_blocks import DepthwiseConv, Projection, PyramidPooling
from stereo_dp_ros.networks.dtpnet_cost import Interlaced


def millions(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f}"


def pair(height: int = 64, width: int = 128, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(batch, 3, height, width, generator=generator) * 255 for _ in range(2))
    return left, right


def test_setting_3_has_the_papers_parameters_to_the_printed_digits() -> None:
    network = DtpNetwork(SETTINGS[3])
    parts = {name: millions(getattr(network, name)) for name in ("features", "cost", "regression")}
    assert parts == {"features": "0.10", "cost": "0.03", "regression": "0.51"}
    assert millions(network) == "0.64"
    assert sum(p.numel() for p in network.parameters()) == 643_504


@pytest.mark.parametrize(("setting", "printed_millions"), [(1, 2.04), (2, 0.95)])
def test_settings_1_and_2_are_within_a_tenth_of_the_printed_parameters(setting: int, printed_millions: float) -> None:
    parameters = sum(p.numel() for p in DtpNetwork(SETTINGS[setting]).parameters())
    assert abs(parameters / 1e6 - printed_millions) <= 0.1 * printed_millions


def test_dtpnet_has_no_three_dimensional_layer() -> None:
    assert not [m for m in DtpNetwork(SETTINGS[3]).modules() if isinstance(m, (nn.Conv3d, nn.BatchNorm3d))]


@pytest.mark.parametrize(
    "config",
    [
        DtpConfig(max_disparity_px=32),
        DtpConfig(max_disparity_px=32, spp=True),
        DtpConfig(max_disparity_px=32, hourglasses=0),
        DtpConfig(max_disparity_px=32, hourglasses=3, cost="interlaced"),
        DtpConfig(max_disparity_px=32, stages=4),
    ],
)
def test_every_switch_gives_disparity_at_full_and_logits_at_quarter_size(config: DtpConfig) -> None:
    network = DtpNetwork(config).eval()
    with torch.no_grad():
        output = network(*pair())
    assert output.disparity.shape == output.confidence.shape == (1, 1, 64, 128)
    assert output.logits.shape == (1, 32, 16, 32)
    assert output.disparity_coarse.shape == (1, 1, 16, 32)
    assert 0 <= output.disparity.min() <= output.disparity.max() <= 31
    assert 0 <= output.confidence.min() <= output.confidence.max() <= 1


def test_a_projection_of_few_channels_has_the_gradients_of_a_strided_convolution() -> None:
    projection = Projection(14, 24, stride=2)
    images = torch.randn(16, 14, 64, 128, generator=torch.Generator().manual_seed(0))
    contiguous, last = images.clone(), images.contiguous(memory_format=torch.channels_last)
    gradients = []
    for x, layer in ((contiguous, nn.Sequential(*projection)), (last, projection)):
        projection.zero_grad()
        out = layer(x.requires_grad_())
        assert out.shape == (16, 24, 32, 64)
        out.pow(3).sum().backward()
        gradients.append((x.grad, projection[0].weight.grad))
    for plain, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_depthwise_convolution_in_bf16_has_the_gradients_of_fp32(dilation: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 16, 32, 64, generator=generator).contiguous(memory_format=torch.channels_last)
    layer = DepthwiseConv(16, dilation=dilation)
    layer(images).square().sum().backward()
    expected = layer.weight.grad
    assert expected is not None
    for _ in range(8):
        layer.zero_grad()
        junk = torch.full((1 << 20,), float("nan"))
        del junk  # what is read without having been written is not a number now
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(images)
        out.float().square().sum().backward()
        torch.testing.assert_close(layer.weight.grad, expected, rtol=0, atol=0.01 * float(expected.abs().max()))


def test_a_switch_that_is_off_costs_nothing() -> None:
    assert not [m for m in DtpNetwork(DtpConfig()).modules() if isinstance(m, PyramidPooling)]
    without = DtpNetwork(DtpConfig(hourglasses=0))
    assert millions(without.regression) == "0.08"  # the head of 192 bins alone


def test_equal_logits_give_the_middle_of_the_range() -> None:
    network = DtpNetwork(DtpConfig(max_disparity_px=32)).eval()
    head = network.regression.heads[0]
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    with torch.no_grad():
        disparity = network(*pair()).disparity
    torch.testing.assert_close(disparity, torch.full_like(disparity, 15.5))


def test_a_certain_bin_gives_its_disparity_and_full_confidence() -> None:
    network = DtpNetwork(DtpConfig(max_disparity_px=32)).eval()
    head = network.regression.heads[0]
    nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.nn.functional.one_hot(torch.tensor(7), 32).float() * 100)
        output = network(*pair())
    torch.testing.assert_close(output.disparity, torch.full_like(output.disparity, 7.0))
    torch.testing.assert_close(output.confidence, torch.ones_like(output.confidence))


def in_training_with_fixed_norms(network: DtpNetwork) -> DtpNetwork:
    """What training computes, with the batch norms of evaluation."""
    network.train()
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            module.eval()
    return network


@pytest.mark.parametrize("cost", ["channel_to_disparity", "interlaced"])
def test_training_computes_what_evaluation_does(cost: str) -> None:
    torch.manual_seed(0)
    network = DtpNetwork(DtpConfig(max_disparity_px=32, cost=cost)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.weight)
    evaluated = network(*pair(batch=2))
    trained = in_training_with_fixed_norms(network)(*pair(batch=2))
    torch.testing.assert_close(trained.logits, evaluated.logits)
    torch.testing.assert_close(trained.disparity, evaluated.disparity)
    torch.testing.assert_close(trained.disparity_coarse, evaluated.disparity_coarse)
    assert trained.confidence.shape == (2, 1, 64, 128) and not trained.confidence.requires_grad


def test_in_bfloat16_training_too_the_softmax_is_over_logits_at_full_resolution_in_float32() -> None:
    network = in_training_with_fixed_norms(DtpNetwork(DtpConfig(max_disparity_px=32)))
    with torch.autocast("cpu", torch.bfloat16):
        output = network(*pair(batch=2))
    logits = output.logits.detach().requires_grad_()
    enlarged = nn.functional.interpolate(logits, scale_factor=4.0, mode="bilinear")
    expected = (torch.softmax(enlarged, dim=1) * network.disparities).sum(dim=1, keepdim=True)
    torch.testing.assert_close(output.disparity, expected)
    weights = torch.rand_like(expected)
    (theirs,) = torch.autograd.grad((output.disparity * weights).sum(), output.logits)
    (ours,) = torch.autograd.grad((expected * weights).sum(), logits)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)


def test_without_fine_disparity_in_training_is_the_coarse_one_enlarged() -> None:
    network = in_training_with_fixed_norms(DtpNetwork(DtpConfig(max_disparity_px=32)))
    network.fine = False
    output = network(*pair())
    enlarged = nn.functional.interpolate(output.disparity_coarse, scale_factor=4.0, mode="bilinear")
    assert torch.equal(output.disparity, enlarged)
    assert not torch.equal(network.eval()(*pair()).disparity, enlarged)  # evaluation is always fine


def test_features_and_their_gradients_keep_the_channels_last() -> None:
    network = DtpNetwork(DtpConfig(max_disparity_px=32)).train()
    seen = []

    def watch(_module: nn.Module, _inputs: object, features: torch.Tensor) -> None:
        seen.append(features)
        features.register_hook(seen.append)

    network.features.register_forward_hook(watch)
    network(*pair(batch=2)).logits.sum().backward()
    assert [x.is_contiguous(memory_format=torch.channels_last) for x in seen] == [True, True]


def test_the_interlaced_module_sees_the_right_view_shifted() -> None:
    """Plane k at column x is plane 0 at column x when the right view is moved k px to the right beforehand."""
    torch.manual_seed(0)
    module = Interlaced(64, 4).eval()
    left, right = torch.rand(1, 64, 8, 24), torch.rand(1, 64, 8, 24)
    moved = torch.roll(right, 3, dims=-1)
    with torch.no_grad():
        planes, reference = module(left, right), module(left, moved)
    inner = slice(8, 16)  # away from the borders, where padding takes part
    torch.testing.assert_close(planes[:, 3, :, inner], reference[:, 0, :, inner])


def test_it_is_rebuilt_from_its_description() -> None:
    network = build_network({"type": "dtpnet", "config": {"max_disparity_px": 32, "spp": True, "stages": 4}})
    again = build_network(describe_network(network))
    again.load_state_dict(network.state_dict(), strict=True)
    assert describe_network(network)["channels"] == {}


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(ModelError, match=r"dtpnet: stages is 3, expected 2 or 4; hourglasses is 2, expected 0, 1 or 3"):
        dataclasses.replace(DtpConfig(), stages=3, hourglasses=2)
