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
from stereo_dp_ros.networks.dtpnet_blocks import InvertedBlock, PyramidPooling, SeparableBlock
from stereo_dp_ros.networks.dtpnet_cost import ChannelToDisparity, Interlaced
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
            disparity = self._fine_disparity(logits) if self.fine else _enlarged(coarse)
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

    def _fine_disparity(self, logits: Tensor) -> Tensor:
        """As of the enlarged logits (N, D, h, w), in px (N, 1, 4h, 4w), but in half the time on a CPU.

        The bins are last, as the softmax wants them, enlarging is two matrix products, and one image follows the other:
        the logits of a batch at full resolution leave the cache.
        """
        rows, columns = (_enlargement(n, logits) for n in logits.shape[2:])
        disparities = self.disparities.flatten().to(logits.dtype)
        answers = []
        with torch.autocast(logits.device.type, enabled=False):
            for one in logits.permute(0, 2, 3, 1):
                wide = torch.matmul(columns, one)
                fine = torch.matmul(rows, wide.flatten(1)).reshape(len(rows), len(columns), -1)
                answers.append(torch.matmul(torch.softmax(fine, dim=2), disparities))
        return torch.stack(answers)[:, None]

    def _answer(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Disparity in px and confidence, (N, 1, H, W) each, of logits (N, D, H, W)."""
        probability = torch.softmax(logits, dim=1)
        disparity = (probability * self.disparities).sum(dim=1, keepdim=True)
        with torch.no_grad():
            near = functional.relu(1.0 - (self.disparities - disparity).abs() * (1 / 8))
            confidence = (probability * near).sum(dim=1, keepdim=True)
        return disparity, confidence


def _enlargement(pixels: int, like: Tensor) -> Tensor:
    """The matrix (4n, n) that makes a line of n pixels four times as long, as `_enlarged` does; of `like`'s type."""
    lines = torch.eye(pixels, dtype=like.dtype, device=like.device)[None]
    return functional.interpolate(lines, scale_factor=float(SCALE), mode="linear")[0].T.contiguous()


def _enlarged(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=float(SCALE), mode="bilinear")
