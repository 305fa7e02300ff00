"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch

from stereo_dp_ros.networks import StereoNetwork

__all__ = ["WeightAverage"]


class WeightAverage:
    """Keeps a copy of a network whose floating-point parameters and buffers trail the original's.

    The decay warms up as (1 + n) / (10 + n) after n updates, so that the first random weights do not linger.
    """

    def __init__(self, network: StereoNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: StereoNetwork) -> None:
        """Move towards `network`, which must have the same shapes."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for mine, theirs in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs.to(mine.dtype), 1.0 - decay)
            else:
                mine.copy_(theirs)
