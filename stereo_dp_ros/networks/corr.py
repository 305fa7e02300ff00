"""`corr`: a student that matches explicitly, by correlation of siamese features and light 3-D aggregation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.networks.base import StereoNetwork, StereoOutput
from stereo_dp_ros.networks.layers import ConvBlock, ConvBlock3d, ResidualBlock, ResidualBlock3d
from stereo_dp_ros.networks.regression import distribution_confidence, local_expectation, odds_to_mode
from stereo_dp_ros.networks.upsampling import convex_upsample, depth_to_space, surface_upsample
from stereo_dp_ros.networks.volume import (
    by_parity,
    correlation_volume,
    depth_to_space_3d,
    in_groups,
    normalize_channels,
    packed_volume,
)

__all__ = ["CorrConfig", "CorrNetwork"]

VOLUME_SCALE = 4
MODE_RADIUS = 2.0
CORRELATION_SCALE = 4.0
LARGEST_EXPONENT = 60.0  # trained networks stay below 20; sums of their exponentials stay finite


@dataclass(frozen=True)
class CorrConfig:
    """Widths of a `corr` network.

    Attributes
    ----------
    max_disparity_px
        Searched range, a multiple of 32.
    stem_channels
        Channels at 1/2 resolution.
    feature_channels
        Channels at 1/4, 1/8 and 1/16.
    feature_blocks
        Residual blocks at 1/4, 1/8 and 1/16.
    match_channels
        Channels that are correlated, at 1/4 and at 1/8.
    coarse_groups
        Groups of the correlation at 1/8.
    volume_channels
        Channels of the aggregation at 1/8, 1/16 and 1/32.
    volume_blocks
        Residual blocks of the aggregation at 1/8 (before and after the hourglass each), 1/16 and 1/32.
    mask_channels
        Channels before the upsampling weights; half as many come from 1/2.
    """

    max_disparity_px: int = 192
    stem_channels: int = 16
    feature_channels: tuple[int, int, int] = (32, 48, 64)
    feature_blocks: tuple[int, int, int] = (1, 1, 1)
    match_channels: tuple[int, int] = (32, 32)
    coarse_groups: int = 8
    volume_channels: tuple[int, int, int] = (16, 32, 64)
    volume_blocks: tuple[int, int, int] = (1, 1, 2)
    mask_channels: int = 32

    def __post_init__(self) -> None:
        if self.max_disparity_px <= 0 or self.max_disparity_px % 32:
            raise ModelError(f"max_disparity_px is {self.max_disparity_px}; expected a positive multiple of 32")
        if self.match_channels[1] % self.coarse_groups:
            raise ModelError(
                f"match_channels[1] is {self.match_channels[1]}; expected a multiple of coarse_groups"
                f" ({self.coarse_groups})"
            )


class FeaturePyramid(nn.Module):
    """Features at 1/2, and at 1/4, 1/8 and 1/16 with the coarser ones' context added on the way back up."""

    def __init__(self, config: CorrConfig) -> None:
        super().__init__()
        c4, c8, c16 = config.feature_channels
        b4, b8, b16 = config.feature_blocks
        stem = config.stem_channels
        self.stem = nn.Sequential(ConvBlock(3, stem, stride=2), ConvBlock(stem, stem))
        self.down4 = nn.Sequential(ConvBlock(stem, c4, stride=2), *(ResidualBlock(c4) for _ in range(b4)))
        self.down8 = nn.Sequential(ConvBlock(c4, c8, stride=2), *(ResidualBlock(c8) for _ in range(b8)))
        self.down16 = nn.Sequential(ConvBlock(c8, c16, stride=2), *(ResidualBlock(c16) for _ in range(b16)))
        self.lateral8 = ConvBlock(c16, c8, kernel=1, act=False)
        self.lateral4 = ConvBlock(c8, c4, kernel=1, act=False)
        self.merge8 = ConvBlock(c8, c8)
        self.merge4 = ConvBlock(c4, c4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) normalised image to features at 1/2, 1/4, 1/8, 1/16."""
        f2 = self.stem(image)
        f4 = self.down4(f2)
        f8 = self.down8(f4)
        f16 = self.down16(f8)
        f8 = self.merge8(f8 + functional.interpolate(self.lateral8(f16), scale_factor=2.0, mode="nearest"))
        f4 = self.merge4(f4 + functional.interpolate(self.lateral4(f8), scale_factor=2.0, mode="nearest"))
        return f2, f4, f8, f16


class Guidance(nn.Module):
    """Scales every channel of a volume by a sigmoid of the left features (CoEx, Bangunharcana et al. 2021)."""

    def __init__(self, feature_channels: int, volume_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(feature_channels, volume_channels, 1)

    def forward(self, volume: Tensor, features: Tensor) -> Tensor:
        """(N, C, D, H, W) and (N, F, H, W) to (N, C, D, H, W)."""
        return volume * torch.sigmoid(self.project(features)).unsqueeze(2)


class Aggregation(nn.Module):
    """Hourglass over the volume at 1/8, 1/16 and 1/32; its weights are shared by all disparities."""

    def __init__(self, config: CorrConfig) -> None:
        super().__init__()
        _, f8, f16 = config.feature_channels
        v8, v16, v32 = config.volume_channels
        b8, b16, b32 = config.volume_blocks
        self.enter = ConvBlock3d(8 + config.coarse_groups, v8, (1, 3, 3))
        self.guide8 = Guidance(f8, v8)
        self.before = nn.Sequential(*(ResidualBlock3d(v8) for _ in range(b8)))
        self.down16 = ConvBlock3d(v8, v16, stride=2)
        self.guide16 = Guidance(f16, v16)
        self.blocks16 = nn.Sequential(*(ResidualBlock3d(v16) for _ in range(b16)))
        self.down32 = ConvBlock3d(v16, v32, stride=2)
        self.guide32 = Guidance(f16, v32)
        self.blocks32 = nn.Sequential(*(ResidualBlock3d(v32) for _ in range(b32)))
        self.up16 = ConvBlock3d(v32, v16, kernel=1, act=False)
        self.merge16 = ResidualBlock3d(v16)
        self.up8 = ConvBlock3d(v16, v8, kernel=1, act=False)
        self.merge8 = nn.Sequential(*(ResidualBlock3d(v8) for _ in range(b8)))
        self.leave = nn.Conv3d(v8, 8, 1)
        self.skip = nn.Conv3d(8 + config.coarse_groups, 8, 1, bias=False)
        with torch.no_grad():  # start from the fine correlation itself
            self.skip.weight.zero_()
            self.skip.weight[:, :8, 0, 0, 0] += CORRELATION_SCALE * torch.eye(8)

    def forward(self, volume: Tensor, f8: Tensor, f16: Tensor) -> Tensor:
        """(N, 8 + groups, D/8, H/8, W/8), fine correlation first, to the logits' 2×2×2 sub-voxels, 8 channels."""
        v8 = self.before(self.guide8(self.enter(volume), f8))
        v16 = self.blocks16(self.guide16(self.down16(v8), f16))
        v32 = self.blocks32(self.guide32(self.down32(v16), functional.avg_pool2d(f16, 2)))
        v16 = self.merge16(v16 + functional.interpolate(self.up16(v32), scale_factor=2.0, mode="nearest"))
        v8 = self.merge8(v8 + functional.interpolate(self.up8(v16), scale_factor=2.0, mode="nearest"))
        logits: Tensor = self.leave(v8) + self.skip(volume)
        return logits


class CorrNetwork(StereoNetwork):
    """Two correlation volumes (1/4 and group-wise 1/8), aggregation at 1/8, regression at 1/4, upsampling ×4."""

    size_multiple = 32
    bin_px = float(VOLUME_SCALE)

    config: CorrConfig
    disparities: Tensor

    def __init__(self, config: CorrConfig) -> None:
        super().__init__()
        self.config = config
        self.bins = config.max_disparity_px // VOLUME_SCALE
        c4, c8, _ = config.feature_channels
        self.features = FeaturePyramid(config)
        self.match4 = nn.Conv2d(c4, config.match_channels[0], 1, bias=False)
        self.match8 = nn.Conv2d(c8, config.match_channels[1], 1, bias=False)
        self.aggregation = Aggregation(config)
        # What 1/4 has lost, straight from 1/2, for the match and for the edges; no part at first.
        stem, coarse, fine = config.stem_channels, config.mask_channels, config.mask_channels // 2
        self.match2 = nn.Conv2d(stem, config.match_channels[0], 2, stride=2, bias=False)
        self.mask4 = ConvBlock(c4, coarse)
        self.mask2 = nn.Sequential(nn.Conv2d(stem, fine, 2, stride=2, bias=False), nn.BatchNorm2d(fine), nn.ReLU())
        self.mask = nn.Conv2d(coarse + fine, 9 * VOLUME_SCALE**2, 1)
        with torch.no_grad():
            self.match2.weight.zero_()
            self.mask.weight[:, coarse:].zero_()
        # Descending, as the correlation volume has them; of each two, the first of all pairs, then the second.
        bins = torch.arange(self.bins - 1.0, -1.0, -1.0).reshape(-1, 2).t().reshape(1, -1, 1, 1)
        self.register_buffer("disparities", bins, persistent=False)

    def forward(self, left: Tensor, right: Tensor) -> StereoOutput:
        """Disparity, confidence and logits of a pair (see `StereoOutput`)."""
        n = left.shape[0]
        # Channels last until the first convolution: cameras give them so, and runtimes then have nothing to turn.
        pair = torch.cat([left.permute(0, 2, 3, 1), right.permute(0, 2, 3, 1)]) * (1 / 64) - 2.0
        f2, f4, f8, f16 = self.features(pair.permute(0, 3, 1, 2))
        m4 = normalize_channels(by_parity(self.match4(f4)) + by_parity(self.match2(f2)))
        m8 = normalize_channels(in_groups(self.match8(f8), self.config.coarse_groups))
        fine = packed_volume(m4[:n], m4[n:], self.bins)
        coarse = correlation_volume(m8[:n], m8[n:], self.bins // 2)
        volume = torch.cat([fine, coarse], dim=1).permute(0, 1, 4, 2, 3)  # turned once, not each by itself: faster
        packed = self.aggregation(volume, f8[:n], f16[:n]).float()
        expected, local, confidence = self.regress(packed)
        weights = self.upsampling_weights(f2[:n], f4[:n])
        return StereoOutput(
            disparity=self.upsampled(local, weights) * self.bin_px,
            confidence=convex_upsample(confidence.detach(), [w.detach() for w in weights], VOLUME_SCALE),
            logits=depth_to_space_3d(packed).squeeze(1).flip(1),
            disparity_coarse=expected * self.bin_px,
        )

    def regress(self, packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, 8, D/2, H/2, W/2) to expectation, expectation around the mode and confidence, (N, 1, H, W) each.

        The pixels of a 2×2 neighbourhood go into the batch: the three maps are unpacked instead of the volume.
        """
        n, _, d, h, w = packed.shape
        logits = packed.reshape(4 * n, 2 * d, h, w)
        odds = odds_to_mode(logits)
        expected = (odds * self.disparities).sum(dim=1, keepdim=True) / odds.sum(dim=1, keepdim=True)
        local = local_expectation(odds, self.disparities, MODE_RADIUS)
        confidence = self.calibrated(distribution_confidence(odds, self.disparities, local))
        expected, local, confidence = (depth_to_space(x.reshape(n, 4, h, w), 2) for x in (expected, local, confidence))
        return expected, local, confidence

    def upsampled(self, bins: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """(N, 1, h, w) to full resolution; in training the mean over both surfaces, which tells the weights the way."""
        if self.training:
            return convex_upsample(bins, weights, VOLUME_SCALE)
        return surface_upsample(bins, weights, VOLUME_SCALE, gap=1.0)

    def upsampling_weights(self, f2: Tensor, f4: Tensor) -> Sequence[Tensor]:
        """Weights of the nine neighbours for each of the 4×4 fine pixels, (N, 16, h, w) each; their ratios count."""
        raw = self.mask(torch.cat([self.mask4(f4), self.mask2(f2)], dim=1)).float()
        return torch.exp(torch.clamp(raw, max=LARGEST_EXPONENT)).split(VOLUME_SCALE**2, dim=1)
