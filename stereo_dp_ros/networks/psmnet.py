"""`psmnet`: the 3-D teacher (Chang & Chen, Pyramid Stereo Matching Network, CVPR 2018), at any width.

At width 32 with three hourglasses it has the published network's 5,224,768 parameters. Too slow to ship: it is there
to teach.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.networks.base import StereoNetwork, StereoOutput
from stereo_dp_ros.networks.layers import ConvBlock, ConvBlock3d

__all__ = ["PsmConfig", "PsmNetwork"]

SCALE = 4


@dataclass(frozen=True)
class PsmConfig:
    """Size of a PSMNet. The defaults are the published network.

    Attributes
    ----------
    max_disparity_px
        Number of disparity bins, one px each; a multiple of 32.
    width
        Channels of the volume's trunk and of the features at 1/2; the features at 1/4 have 2 and 4 times as many.
    stage_blocks
        Residual blocks of the four feature stages.
    pool_sizes
        Sides of the pyramid pooling's windows, in px at 1/4; a window larger than the map covers the whole map.
    hourglasses
        Stacked hourglasses, at least 1.
    """

    max_disparity_px: int = 192
    width: int = 32
    stage_blocks: tuple[int, int, int, int] = (3, 16, 3, 3)
    pool_sizes: tuple[int, int, int, int] = (64, 32, 16, 8)
    hourglasses: int = 3

    def __post_init__(self) -> None:
        problems = []
        if self.max_disparity_px <= 0 or self.max_disparity_px % 32:
            problems.append(f"max_disparity_px is {self.max_disparity_px}, expected a positive multiple of 32")
        if self.width < 1:
            problems.append(f"width is {self.width}, expected at least 1")
        if self.hourglasses < 1:
            problems.append(f"hourglasses is {self.hourglasses}, expected at least 1")
        if problems:
            raise ModelError("psmnet: " + "; ".join(problems))


class PlainBlock(nn.Module):
    """Two 3×3 convolutions beside the identity or a projection, without a non-linearity after the sum, as published."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, dilation, dilation, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
        )
        self.second = nn.Sequential(
            nn.Conv2d(c_out, c_out, 3, 1, dilation, dilation, bias=False), nn.BatchNorm2d(c_out)
        )
        same = stride == 1 and c_in == c_out
        self.project = nn.Identity() if same else ConvBlock(c_in, c_out, kernel=1, stride=stride, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        out: Tensor = self.project(x) + self.second(self.first(x))
        return out


class PyramidFeatures(nn.Module):
    """Residual stages to 1/4 and spatial pyramid pooling over them."""

    def __init__(self, config: PsmConfig) -> None:
        super().__init__()
        w, blocks = config.width, config.stage_blocks
        self.stem = nn.Sequential(ConvBlock(3, w, stride=2), ConvBlock(w, w), ConvBlock(w, w))
        self.stage1 = _stage(w, w, blocks[0])
        self.stage2 = _stage(w, 2 * w, blocks[1], stride=2)
        self.stage3 = _stage(2 * w, 4 * w, blocks[2])
        self.stage4 = _stage(4 * w, 4 * w, blocks[3], dilation=2)
        self.pool_sizes = config.pool_sizes
        self.branches = nn.ModuleList(ConvBlock(4 * w, w, kernel=1) for _ in config.pool_sizes)
        self.last = nn.Sequential(ConvBlock(10 * w, 4 * w), nn.Conv2d(4 * w, w, 1, bias=False))

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, width, H/4, W/4)."""
        raw = self.stage2(self.stage1(self.stem(image)))
        deep = self.stage4(self.stage3(raw))
        h, w = deep.shape[-2:]
        levels = [raw, deep]
        for size, branch in zip(self.pool_sizes, self.branches, strict=True):
            pooled = branch(functional.avg_pool2d(deep, (min(size, h), min(size, w))))
            levels.append(functional.interpolate(pooled, size=(h, w), mode="bilinear"))
        out: Tensor = self.last(torch.cat(levels, dim=1))
        return out


def _stage(c_in: int, c_out: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    rest = (PlainBlock(c_out, c_out, 1, dilation) for _ in range(blocks - 1))
    return nn.Sequential(PlainBlock(c_in, c_out, stride, dilation), *rest)


class Hourglass3d(nn.Module):
    """One of the stacked hourglasses; passes its two inner maps on to the next one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.conv1 = ConvBlock3d(width, wide, stride=2)
        self.conv2 = ConvBlock3d(wide, wide, act=False)
        self.conv3 = ConvBlock3d(wide, wide, stride=2)
        self.conv4 = ConvBlock3d(wide, wide)
        self.conv5 = _doubling(wide, wide)
        self.conv6 = _doubling(wide, width)

    def forward(self, x: Tensor, before: Tensor | None, after: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The hourglass of x (N, C, D, H, W), and its maps at 1/2 before and after the narrowest place."""
        down = self.conv2(self.conv1(x))
        down = functional.relu(down if after is None else down + after)
        narrow = self.conv4(self.conv3(down))
        up = functional.relu(self.conv5(narrow) + (down if before is None else before))
        return self.conv6(up), down, up


def _doubling(c_in: int, c_out: int) -> nn.Sequential:
    transposed = nn.ConvTranspose3d(c_in, c_out, 3, stride=2, padding=1, output_padding=1, bias=False)
    return nn.Sequential(transposed, nn.BatchNorm3d(c_out))


class PsmNetwork(StereoNetwork):
    """Concatenation volume at 1/4, stacked 3-D hourglasses, trilinear ×4, soft-argmax over bins of one px.

    Only the last head is returned; each head's logits are added to the previous one's, so that all of them learn.
    Input: two (N, 3, H, W) float32 RGB images in 0…255, H and W multiples of `size_multiple`.
    """

    size_multiple = 32
    bin_px = 1.0

    config: PsmConfig
    disparities: Tensor

    def __init__(self, config: PsmConfig) -> None:
        super().__init__()
        self.config = config
        self.bins = config.max_disparity_px
        w = config.width
        self.features = PyramidFeatures(config)
        self.enter = nn.Sequential(ConvBlock3d(2 * w, w), ConvBlock3d(w, w))
        self.refine = nn.Sequential(ConvBlock3d(w, w), ConvBlock3d(w, w, act=False))
        self.hourglasses = nn.ModuleList(Hourglass3d(w) for _ in range(config.hourglasses))
        self.heads = nn.ModuleList(
            nn.Sequential(ConvBlock3d(w, w), nn.Conv3d(w, 1, 3, 1, 1, bias=False)) for _ in range(config.hourglasses)
        )
        self.register_buffer("disparities", torch.arange(float(self.bins)).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, left: Tensor, right: Tensor) -> StereoOutput:
        """Disparity, confidence and logits of a pair; the logits are those at 1/4, stretched along disparity alone."""
        n = left.shape[0]
        features = self.features(torch.cat([left, right]) * (1 / 64) - 2.0)
        volume = self.enter(concatenation_volume(features[:n], features[n:], self.bins // SCALE))
        volume = volume + self.refine(volume)
        logits = self._stack(volume).float()
        h, w = features.shape[-2:]
        coarse_logits = functional.interpolate(logits, size=(self.bins, h, w), mode="trilinear").squeeze(1)
        fine_logits = functional.interpolate(logits, scale_factor=float(SCALE), mode="trilinear").squeeze(1)
        coarse = (torch.softmax(coarse_logits, dim=1) * self.disparities).sum(dim=1, keepdim=True)
        probability = torch.softmax(fine_logits, dim=1)
        disparity = (probability * self.disparities).sum(dim=1, keepdim=True)
        near = functional.relu(1.0 - (self.disparities - disparity.detach()).abs() * (1 / 8))
        confidence = (probability.detach() * near).sum(dim=1, keepdim=True)
        return StereoOutput(disparity, confidence, coarse_logits, coarse)

    def _stack(self, volume: Tensor) -> Tensor:
        x, before, after = volume, None, None
        logits = torch.zeros((), dtype=volume.dtype, device=volume.device)
        for hourglass, head in zip(self.hourglasses, self.heads, strict=True):
            x, down, after = hourglass(x, before, after)
            before = down if before is None else before
            x = x + volume
            logits = logits + head(x)
        return logits


def concatenation_volume(left: Tensor, right: Tensor, planes: int) -> Tensor:
    """Left features beside the right ones shifted by 0 … planes-1 px.

    Two (N, C, H, W) to (N, 2C, planes, H, W); zero where the shifted pixel lies outside the right view.
    """
    w = left.shape[-1]
    shifted = functional.pad(right, (planes - 1, 0))
    inside = torch.arange(w, device=left.device)[None, :] >= torch.arange(planes, device=left.device)[:, None]
    volume = torch.stack(
        [torch.cat([left, shifted[..., planes - 1 - k : planes - 1 - k + w]], dim=1) for k in range(planes)], dim=2
    )
    return volume * inside[None, None, :, None, :]
