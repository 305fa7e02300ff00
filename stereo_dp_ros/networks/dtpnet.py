"""`dtpnet`: the student of Pan et al. (ICRA 2024, arXiv 2405.11809) and the larger settings that it was cut from.

Where the paper is silent the widths are chosen: the residual stages and the interlaced module are MobileStereoNet-2D's
(Shamsafar et al., WACV 2022) with 3 + 8 instead of 3 + 16 blocks in the first two stages, the hourglass is PSMNet's
(Chang & Chen, CVPR 2018) in 2-D. With D = 192 that gives

======= ======== =============== ========== ======= ============ =====================
setting stages   cost module     hourglasses        parameters   printed in the paper
======= ======== =============== ========== ======= ============ =====================
1       4        interlaced      3                  2.00 M       2.04 M
2       4        interlaced      1                  0.98 M       0.95 M
3       2        to disparity    1                  0.64 M       0.64 M (0.10 features, 0.03 cost, 0.51 regression)
======= ======== =============== ========== ======= ============ =====================
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.networks.base import StereoNetwork, StereoOutput
from stereo_dp_ros.networks.layers import ConvBlock

__all__ = ["SETTINGS", "DtpConfig", "DtpNetwork"]

SCALE = 4
COST_MODULES = ("channel_to_disparity", "interlaced")


@dataclass(frozen=True)
class DtpConfig:
    """Which modules a `dtpnet` has, and their widths. The defaults are setting 3.

    Attributes
    ----------
    max_disparity_px
        Number of disparity bins D, one px each; a multiple of 8.
    stages
        Residual stages of the features, 2 or 4.
    cost
        One of `COST_MODULES`.
    hourglasses
        0, 1 or 3; the logits of several are summed, as PSMNet does.
    spp
        Spatial pyramid pooling after the features.
    stem_channels, stage_channels, stage_blocks
        Widths at 1/2 and of the four stages, and the stages' residual blocks.
    cost_channels
        Hidden widths of the channel-to-disparity module.
    """

    max_disparity_px: int = 192
    stages: int = 2
    cost: str = "channel_to_disparity"
    hourglasses: int = 1
    spp: bool = False
    stem_channels: int = 32
    stage_channels: tuple[int, int, int, int] = (32, 64, 128, 128)
    stage_blocks: tuple[int, int, int, int] = (3, 8, 3, 3)
    cost_channels: tuple[int, int] = (96, 96)

    def __post_init__(self) -> None:
        problems = []
        if self.max_disparity_px <= 0 or self.max_disparity_px % 8:
            problems.append(f"max_disparity_px is {self.max_disparity_px}, expected a positive multiple of 8")
        if self.stages not in (2, 4):
            problems.append(f"stages is {self.stages}, expected 2 or 4")
        if self.cost not in COST_MODULES:
            problems.append(f"cost is {self.cost!r}, expected one of {', '.join(COST_MODULES)}")
        if self.hourglasses not in (0, 1, 3):
            problems.append(f"hourglasses is {self.hourglasses}, expected 0, 1 or 3")
        if problems:
            raise ModelError("dtpnet: " + "; ".join(problems))


SETTINGS = {
    1: DtpConfig(stages=4, cost="interlaced", hourglasses=3),
    2: DtpConfig(stages=4, cost="interlaced", hourglasses=1),
    3: DtpConfig(),
}
"""The paper's settings by number."""


class SeparableConv(nn.Sequential):
    """3×3 depthwise, then 1×1 convolution, each with batch norm (MobileNet, Howard et al. 2017)."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1, dilation: int = 1, *, act: bool = True) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_in, 3, stride, dilation, dilation, groups=c_in, bias=False),
            nn.BatchNorm2d(c_in),
            nn.ReLU(),
            ConvBlock(c_in, c_out, kernel=1, act=act),
        )


class SeparableBlock(nn.Module):
    """Two separable convolutions beside the identity, or beside a 1×1 projection where the shape changes."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = SeparableConv(c_in, c_out, stride, dilation)
        self.second = SeparableConv(c_out, c_out, dilation=dilation, act=False)
        same = stride == 1 and c_in == c_out
        self.project = nn.Identity() if same else ConvBlock(c_in, c_out, kernel=1, stride=stride, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        out: Tensor = self.project(x) + self.second(self.first(x))
        return out


class InvertedBlock(nn.Module):
    """1×1 expansion by 3, 3×3 depthwise, 1×1 projection (MobileNetV2, Sandler et al. 2018)."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.expand = ConvBlock(c_in, 3 * c_in, kernel=1)
        self.spread = SeparableConv(3 * c_in, c_out, stride, act=False)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        out: Tensor = self.spread(self.expand(x))
        return x + out if self.residual else out


class PyramidPooling(nn.Module):
    """Means over 2², 4² and 8² pixels, projected and put beside the features; 8 divides every size at 1/4."""

    sizes = (2, 4, 8)

    def __init__(self, channels: int) -> None:
        super().__init__()
        branch = channels // 2
        self.branches = nn.ModuleList(ConvBlock(channels, branch, kernel=1) for _ in self.sizes)
        self.merge = ConvBlock(channels + branch * len(self.sizes), channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        levels = [x]
        for size, branch in zip(self.sizes, self.branches, strict=True):
            pooled = branch(functional.avg_pool2d(x, size))
            levels.append(functional.interpolate(pooled, scale_factor=float(size), mode="bilinear"))
        out: Tensor = self.merge(torch.cat(levels, dim=1))
        return out


class Features(nn.Module):
    """Siamese features at 1/4: a stem at 1/2, then residual stages."""

    def __init__(self, config: DtpConfig) -> None:
        super().__init__()
        stem, widths, blocks = config.stem_channels, config.stage_channels, config.stage_blocks
        self.stem = nn.Sequential(
            InvertedBlock(3, stem, stride=2), InvertedBlock(stem, stem), InvertedBlock(stem, stem)
        )
        inputs = (stem, *widths)
        strides, dilations = (1, 2, 1, 1), (1, 1, 1, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                SeparableBlock(inputs[i], widths[i], strides[i], dilations[i]),
                *(SeparableBlock(widths[i], widths[i], 1, dilations[i]) for _ in range(blocks[i] - 1)),
            )
            for i in range(config.stages)
        )
        self.channels = sum(widths[1 : config.stages])
        self.pooling = PyramidPooling(self.channels) if config.spp else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, channels, H/4, W/4): the stages at 1/4 beside each other."""
        x = self.stages[0](self.stem(image))
        levels = []
        for stage in self.stages[1:]:
            x = stage(x)
            levels.append(x)
        out: Tensor = self.pooling(levels[0] if len(levels) == 1 else torch.cat(levels, dim=1))
        return out


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


class Hourglass(nn.Module):
    """PSMNet's hourglass in 2-D, to 1/4 of its input's size and back, with skips; resize + convolution upwards."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.down1 = nn.Sequential(ConvBlock(channels, wide, stride=2), ConvBlock(wide, wide))
        self.down2 = nn.Sequential(ConvBlock(wide, wide, stride=2), ConvBlock(wide, wide))
        self.up1 = ConvBlock(wide, wide, act=False)
        self.up2 = ConvBlock(wide, channels, act=False)
        self.skip1 = ConvBlock(wide, wide, kernel=1, act=False)
        self.skip2 = ConvBlock(channels, channels, kernel=1, act=False)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; H and W multiples of 4."""
        half = self.down1(x)
        quarter = self.down2(half)
        raised = self.up1(functional.interpolate(quarter, scale_factor=2.0, mode="bilinear"))
        half = self.act(raised + self.skip1(half))
        raised = self.up2(functional.interpolate(half, scale_factor=2.0, mode="bilinear"))
        out: Tensor = self.act(raised + self.skip2(x))
        return out


class Regression(nn.Module):
    """Hourglasses one after the other, each with a head of D logits at 1/4; the heads are summed."""

    def __init__(self, config: DtpConfig) -> None:
        super().__init__()
        bins = config.max_disparity_px
        self.hourglasses = nn.ModuleList(Hourglass(bins // SCALE) for _ in range(config.hourglasses))
        self.heads = nn.ModuleList(nn.Conv2d(bins // SCALE, bins, 3, 1, 1) for _ in range(max(1, config.hourglasses)))

    def forward(self, cost: Tensor) -> Tensor:
        """(N, D/4, h, w) to logits (N, D, h, w)."""
        if not self.hourglasses:
            only: Tensor = self.heads[0](cost)
            return only
        logits = torch.zeros((), dtype=cost.dtype, device=cost.device)
        for hourglass, head in zip(self.hourglasses, self.heads, strict=True):
            cost = hourglass(cost)
            logits = logits + head(cost)
        return logits


class DtpNetwork(StereoNetwork):
    """Features, cost module, 2-D regression, bilinear ×4 of the logits, softmax and soft-argmax over D bins of one px.

    Input: two (N, 3, H, W) float32 RGB images in 0…255, H and W multiples of `size_multiple`.
    """

    size_multiple = 32
    bin_px = 1.0
    fine = True
    """Whether disparity is computed from logits at full resolution in training too; for distillation alone a waste."""

    config: DtpConfig
    disparities: Tensor

    def __init__(self, config: DtpConfig) -> None:
        super().__init__()
        self.config = config
        self.bins = config.max_disparity_px
        self.features = Features(config)
        channels = self.features.channels
        planes = config.max_disparity_px // SCALE
        self.cost: nn.Module = (
            Interlaced(channels, planes)
            if config.cost == "interlaced"
            else ChannelToDisparity(channels, config.cost_channels, planes)
        )
        self.regression = Regression(config)
        self.register_buffer("disparities", torch.arange(float(self.bins)).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, left: Tensor, right: Tensor) -> StereoOutput:
        """Disparity, confidence (probability near the answer, fading to 0 at 8 px) and logits (see `StereoOutput`).

        In training confidence, which no loss looks at, is that at 1/4 enlarged; and so is disparity unless `fine`.
        """
        logits = self._logits(left, right).float().contiguous()
        coarse, confidence = self._answer(logits)
        if self.training:
            confidence = _enlarged(confidence)
            disparity = self._answer(_enlarged(logits))[0] if self.fine else _enlarged(coarse)
        else:
            disparity, confidence = self._answer(_enlarged(logits))
        return StereoOutput(disparity, self.calibrated(confidence), logits, coarse)

    def _logits(self, left: Tensor, right: Tensor) -> Tensor:
        """Two (N, 3, H, W) to (N, D, H/4, W/4)."""
        n = left.shape[0]
        images = torch.cat([left, right]) * (1 / 64) - 2.0
        if not self.training:
            features = self.features(images)
            out: Tensor = self.regression(self.cost(features[:n], features[n:]))
            return out
        # Three times as fast on a CPU, where depthwise convolutions want the channels last; the gradient of a slice
        # would lose that order. A slice all the same where the graph is traced, for pruning and export.
        features = self.features(images.contiguous(memory_format=torch.channels_last))
        out = self.regression(self.cost(*features.split(n)))
        return out

    def _answer(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Disparity in px and confidence, (N, 1, H, W) each, of logits (N, D, H, W)."""
        probability = torch.softmax(logits, dim=1)
        disparity = (probability * self.disparities).sum(dim=1, keepdim=True)
        with torch.no_grad():
            near = functional.relu(1.0 - (self.disparities - disparity).abs() * (1 / 8))
            confidence = (probability * near).sum(dim=1, keepdim=True)
        return disparity, confidence


def _enlarged(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=float(SCALE), mode="bilinear")
