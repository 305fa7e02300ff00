"""The two cost modules of `dtpnet`: features of both views to one plane for every four disparities."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stereo_dp_ros.networks.dtpnet_blocks import SeparableConv
from stereo_dp_ros.networks.layers import ConvBlock

__all__ = ["ChannelToDisparity", "Interlaced"]


class ChannelToDisparity(nn.Module):
    """Both views' features beside each other, three convolutions, one channel for every four disparities."""

    def __init__(self, channels: int, hidden: tuple[int, int], disparities: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            SeparableConv(2 * channels, hidden[0]),
            SeparableConv(hidden[0], hidden[1]),
            SeparableConv(hidden[1], disparities),
        )

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two (N, C, H, W) to (N, D/4, H, W)."""
        out: Tensor = self.layers(torch.cat([left, right], dim=1))
        return out


class Interlaced(nn.Module):
    """MobileStereoNet's cost: channels of both views interleaved at every shift, then 3-D convolutions over them."""

    def __init__(self, channels: int, disparities: int) -> None:
        super().__init__()
        widths = [w for w in (256, 128, 64) if w < channels]
        pairs = zip([channels, *widths], widths, strict=False)
        self.reduce = nn.Sequential(
            *(ConvBlock(a, b, kernel=1) for a, b in pairs), nn.Conv2d(widths[-1] if widths else channels, 32, 1)
        )
        steps = ((1, 16, 8), (16, 32, 4), (32, 16, 2))
        self.mix = nn.Sequential(*(MixingStep(c_in, c_out, depth) for c_in, c_out, depth in steps))
        self.leave = ConvBlock(16, 1, kernel=1)
        self.disparities = disparities

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two (N, C, H, W) to (N, D/4, H, W)."""
        left, right = self.reduce(left), self.reduce(right)
        n, c, h, w = left.shape
        shifted = functional.pad(right, (self.disparities - 1, 0))
        starts = range(self.disparities - 1, -1, -1)
        pairs = [torch.stack([left, shifted[..., k : k + w]], dim=2).reshape(n, 1, 2 * c, h, w) for k in starts]
        if not self.training:
            return torch.cat([self.leave(self.mix(pair).squeeze(2)) for pair in pairs], dim=1)
        # All planes at once, in 2-D convolutions: a CPU has no fast 3-D ones for bfloat16, and batch norm sees what it
        # will see in evaluation. Not where the graph is traced, which could not follow the channels through it.
        x = torch.stack(pairs, dim=1).reshape(n * self.disparities, 2 * c, 1, h, w)
        for step in self.mix:
            x = cast(MixingStep, step).in_2d(x)
        out: Tensor = self.leave(x.squeeze(1)).reshape(n, self.disparities, h, w)
        return out


class MixingStep(nn.Sequential):
    """A 3-D convolution whose steps along the depth are as long as it is deep, batch norm, ReLU."""

    def __init__(self, c_in: int, c_out: int, depth: int) -> None:
        convolution = nn.Conv3d(c_in, c_out, (depth, 3, 3), (depth, 1, 1), (0, 1, 1), bias=False)
        super().__init__(convolution, nn.BatchNorm3d(c_out), nn.ReLU())

    def in_2d(self, x: Tensor) -> Tensor:
        """The same of (N, depth, C_in, H, W), the planes it sums over as channels: (N, depth', C_out, H, W)."""
        convolution, *rest = self
        n, _, _, h, w = x.shape
        weight = cast(nn.Conv3d, convolution).weight.transpose(1, 2).flatten(1, 2)
        out = functional.conv2d(x.reshape(-1, weight.shape[1], h, w), weight, padding=1).unsqueeze(2)
        for module in rest:
            out = module(out)
        return out.reshape(n, -1, len(weight), h, w)
