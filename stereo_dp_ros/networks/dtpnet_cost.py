"""The two cost modules of `dtpnet`: features of both views to one plane for every four disparities."""

from __future__ import annotations

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
        self.mix = nn.Sequential(*(_mixing_step(c_in, c_out, depth) for c_in, c_out, depth in steps))
        self.leave = ConvBlock(16, 1, kernel=1)
        self.disparities = disparities

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two (N, C, H, W) to (N, D/4, H, W)."""
        left, right = self.reduce(left), self.reduce(right)
        n, c, h, w = left.shape
        shifted = functional.pad(right, (self.disparities - 1, 0))
        planes = []
        for k in range(self.disparities):
            start = self.disparities - 1 - k
            pair = torch.stack([left, shifted[..., start : start + w]], dim=2).reshape(n, 1, 2 * c, h, w)
            planes.append(self.leave(self.mix(pair).squeeze(2)))
        return torch.cat(planes, dim=1)


def _mixing_step(c_in: int, c_out: int, depth: int) -> nn.Sequential:
    convolution = nn.Conv3d(c_in, c_out, (depth, 3, 3), (depth, 1, 1), (0, 1, 1), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(c_out), nn.ReLU())
