"""Supervised loss of a stereo network, and what an objective is to the trainer."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, distributed
from torch.nn import functional

from stereo_dp_ros.networks import StereoOutput
from training.config import LossConfig

__all__ = ["Objective", "Supervised", "distribution_loss", "masked_mean", "subsample", "supervised_loss"]


class Objective(Protocol):
    """What a run minimises."""

    def __call__(self, output: StereoOutput, batch: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Terms of the loss by name, among them `total`, for a batch of the loader's; `progress` is in 0…1."""
        ...


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where the boolean `mask` of the same shape is set; 0 for an empty mask.

    In one of several processes the sum is divided by the mean count of all: averaged over the processes, as their
    gradients are, that is the mean over the global batch, however unevenly its valid pixels are dealt out.
    """
    weights = mask.to(values.dtype)
    count = weights.sum()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(count)
        count = count / distributed.get_world_size()
    return (values * weights).sum() / torch.where(count > 0, count, torch.ones_like(count))


def subsample(x: Tensor, factor: int) -> Tensor:
    """The pixel nearest to the centre of each factor×factor block; a mean would invent disparities at edges."""
    return x[..., factor // 2 :: factor, factor // 2 :: factor]


def distribution_loss(logits: Tensor, disparity_bins: Tensor) -> Tensor:
    """Cross-entropy against the two bins around the true disparity, linearly weighted, per pixel.

    Parameters
    ----------
    logits
        (N, K, H, W).
    disparity_bins
        (N, 1, H, W) in bins, clamped to 0 … K-1.

    Returns
    -------
    (N, 1, H, W)
    """
    log_probability = torch.log_softmax(logits, dim=1)
    target = disparity_bins.clamp(0.0, logits.shape[1] - 1.0)
    low = target.floor().clamp(max=logits.shape[1] - 2.0)
    fraction = target - low
    index = low.long()
    below, above = log_probability.gather(1, index), log_probability.gather(1, index + 1)
    return -((1.0 - fraction) * below + fraction * above)


def supervised_loss(
    output: StereoOutput, disparity: Tensor, valid: Tensor, bin_px: float, config: LossConfig
) -> dict[str, Tensor]:
    """Terms of the loss against ground truth and their weighted sum `total`.

    Parameters
    ----------
    output
        The network's, for images of (H, W).
    disparity, valid
        (N, 1, H, W) px and bool; pixels beyond the network's last bin are left out.
    bin_px
        Pixels of full resolution per bin.
    """
    factor = disparity.shape[-1] // output.logits.shape[-1]
    valid = valid & (disparity >= 0.0) & (disparity <= bin_px * (output.logits.shape[1] - 1))
    coarse, coarse_valid = subsample(disparity, factor), subsample(valid, factor)
    terms = {
        "distribution": masked_mean(distribution_loss(output.logits, coarse / bin_px), coarse_valid),
        "disparity": masked_mean(functional.smooth_l1_loss(output.disparity, disparity, reduction="none"), valid),
        "disparity_coarse": masked_mean(
            functional.smooth_l1_loss(output.disparity_coarse, coarse, reduction="none"), coarse_valid
        ),
    }
    total = torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()
    return {**terms, "total": total}


class Supervised:
    """Objective of training on ground truth."""

    def __init__(self, bin_px: float, config: LossConfig) -> None:
        self.bin_px = bin_px
        self.config = config

    def __call__(self, output: StereoOutput, batch: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """See `supervised_loss`; the same at any progress."""
        return supervised_loss(output, batch["disparity"], batch["valid"], self.bin_px, self.config)
