"""Channel tables: the layers of a pruned network whose widths its config does not tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from stereo_dp_ros.core.errors import ModelError

__all__ = ["apply_channel_table", "channel_table"]

Conv = (nn.Conv2d, nn.Conv3d)
Norm = (nn.BatchNorm2d, nn.BatchNorm3d)


def channel_table(network: nn.Module) -> dict[str, list[int]]:
    """Input and output channels [in, out] of every convolution and batch norm, by module name."""
    table: dict[str, list[int]] = {}
    for name, module in network.named_modules():
        if isinstance(module, Conv):
            table[name] = [module.in_channels, module.out_channels]
        elif isinstance(module, Norm):
            table[name] = [module.num_features, module.num_features]
    return table


def apply_channel_table(network: nn.Module, table: Mapping[str, Sequence[int]]) -> None:
    """Resize the named convolutions and batch norms in place; they are initialised as new ones are.

    Raises
    ------
    ModelError
        If the table names a layer that the network does not have.
    """
    known = channel_table(network)
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ModelError(f"channel table names layers that the network does not have: {', '.join(unknown)}")
    for name, (c_in, c_out) in table.items():
        module = network.get_submodule(name)
        if isinstance(module, Conv):
            groups = c_in if module.groups > 1 else 1
            kernel = module.weight.shape[2:]
            module.in_channels, module.out_channels, module.groups = c_in, c_out, groups
            module.weight = nn.Parameter(torch.empty(c_out, c_in // groups, *kernel))
            if module.bias is not None:
                module.bias = nn.Parameter(torch.empty(c_out))
            module.reset_parameters()
        elif isinstance(module, Norm):
            module.num_features = c_out
            module.weight, module.bias = nn.Parameter(torch.ones(c_out)), nn.Parameter(torch.zeros(c_out))
            module.running_mean, module.running_var = torch.zeros(c_out), torch.ones(c_out)
