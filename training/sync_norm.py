"""Batch norm over the batches of all processes, on any device (torch's own needs a GPU)."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional

__all__ = ["synchronize_norms"]


class _SynchronizedForward:
    """Forward of a batch norm whose statistics are those of the global batch, one of equal parts in each process."""

    def forward(self: nn.modules.batchnorm._BatchNorm, x: Tensor) -> Tensor:  # type: ignore[misc]
        assert self.running_mean is not None and self.weight is not None and self.bias is not None
        if not self.training:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        dims = [0, *range(2, x.ndim)]
        world = distributed.get_world_size()
        values = x.to(self.running_mean.dtype)  # not autocast's
        moments = torch.stack([values.mean(dims), (values * values).mean(dims)])
        mean, square = all_reduce(moments) / world
        variance = (square - mean * mean).clamp(min=0.0)
        _track(self, mean.detach(), variance.detach(), world * x.numel() // x.shape[1])
        shape = (1, -1, *(1 for _ in dims[1:]))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (values * scale.reshape(shape) + (self.bias - mean * scale).reshape(shape)).to(x.dtype)


def _track(norm: nn.modules.batchnorm._BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    assert norm.num_batches_tracked is not None and norm.running_mean is not None and norm.running_var is not None
    assert norm.momentum is not None
    unbiased = variance * (count / max(1, count - 1))
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(unbiased, norm.momentum)


class _SynchronizedNorm2d(_SynchronizedForward, nn.BatchNorm2d):
    pass


class _SynchronizedNorm3d(_SynchronizedForward, nn.BatchNorm3d):
    pass


def synchronize_norms(network: nn.Module) -> None:
    """Make the batch norms of `network`, with affine parameters and running statistics, span all processes.

    In place; parameters, buffers and their names stay as they are.
    """
    kinds: dict[type[nn.Module], type[nn.Module]] = {
        nn.BatchNorm2d: _SynchronizedNorm2d,
        nn.BatchNorm3d: _SynchronizedNorm3d,
    }
    for module in network.modules():
        if type(module) in kinds:
            module.__class__ = kinds[type(module)]
