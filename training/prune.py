"""Structured pruning over torch-pruning's dependency graph (DepGraph, Fang et al., CVPR 2023).

A group is every layer whose channels must go together. A channel's importance is Σ‖w‖₂ over the slices of the group's
convolution weights that belong to it (the library's own sums squares, averages, normalises and counts batch norms).
Every group loses the same share of its *original* channels at a step, so that a step needs nothing but the network and
can be made in another process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn

from stereo_dp_ros.networks import StereoNetwork, build_network, describe_network
from stereo_dp_ros.networks.channels import channel_table
from training.errors import TrainingError

__all__ = ["PORTS", "Ports", "PruneConfig", "channel_importance", "original_channels", "prune_step", "require_spared"]

Convolution = nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class PruneConfig:
    """How a network is cut.

    Attributes
    ----------
    steps
        Number of steps.
    fraction
        Share of the original channels that each of them takes.
    round_to
        Channels that stay are rounded to a multiple of this, for the sake of vector units.
    least
        No layer is cut below so many channels: fewer than a vector unit holds save no time.
    spare
        Patterns of names of layers; a group with such a layer among those it would cut stays whole.
    """

    steps: int = 5
    fraction: float = 0.1
    round_to: int = 1
    least: int = 1
    spare: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.steps < 0 or not 0 < self.fraction * max(1, self.steps) < 1 or min(self.round_to, self.least) < 1:
            raise TrainingError(
                f"prune: {self.steps} steps of {self.fraction} rounded to {self.round_to}, least {self.least}; expected"
                " less than all channels, a multiple of at least 1 and a least of at least 1"
            )


@dataclass(frozen=True)
class Ports:
    """Layers of a network whose output channels are more than channels; patterns of their names.

    Attributes
    ----------
    fixed
        Each output channel stands for a disparity, a sub-voxel or a neighbour: none goes.
    correlated
        Layers whose outputs are added up and then meet nothing but each other in inner products: they go without
        touching another layer, the same number from each of so many groups (a number, or the config field that has it).
    cut
        Modules whose first input is a volume of disparities, not of channels: the graph is not traced beyond it.
    """

    fixed: tuple[str, ...]
    correlated: tuple[tuple[tuple[str, ...], int | str], ...] = ()
    cut: tuple[str, ...] = ()


PORTS = {
    "dtpnet": Ports(
        fixed=(
            "regression.heads.*",
            "regression.hourglasses.*.up2.0",
            "regression.hourglasses.*.skip2.0",
            "cost.layers.2.3.0",  # channel to disparity
            "cost.reduce.[0-9]",  # interlaced: channels of both views are counted off in eights
            "cost.leave.0",
        )
    ),
    "corr": Ports(
        fixed=("mask", "aggregation.leave", "aggregation.skip"),
        correlated=((("match4", "match2"), 1), (("match8",), "coarse_groups")),
        cut=("aggregation",),
    ),
}
"""By network type. Not `psmnet`: it is there to teach."""


def original_channels(network: StereoNetwork) -> dict[str, list[int]]:
    """Channel table of the network as its config has it, before any pruning."""
    description = describe_network(network)
    return channel_table(build_network({"type": description["type"], "config": description["config"]}))


def prune_step(network: StereoNetwork, step: int, config: PruneConfig) -> dict[str, list[int]]:
    """Cut `network` in place down to what step `step` (1 … steps) leaves; returns its new channel table.

    Raises
    ------
    TrainingError
        If there is no table of ports for the network's type, the step is out of range, or nothing has a name to spare.
    """
    if not 1 <= step <= config.steps:
        raise TrainingError(f"pruning step is {step}; expected 1 to {config.steps}")
    description = describe_network(network)
    if description["type"] not in PORTS:
        raise TrainingError(f"{description['type']} cannot be pruned; there are ports of: {', '.join(sorted(PORTS))}")
    ports = PORTS[description["type"]]
    original = original_channels(network)
    keep = 1.0 - step * config.fraction
    names = {module: name for name, module in network.named_modules()}
    require_spared(network, config)
    graph = _graph(network, ports)
    for root in _roots(network, graph, (*ports.fixed, *_correlated(ports), *config.spare)):
        goal = max(config.least, _rounded(keep * original[names[root]][1], config.round_to))
        if goal < root.out_channels:
            order = channel_importance(_group(graph, root)).argsort()
            doomed = order[: root.out_channels - goal].tolist()
            graph.get_pruning_group(root, tp.prune_conv_out_channels, doomed).prune()
    for together, groups in ports.correlated:
        if _named(together, config.spare):
            continue
        count = int(description["config"][groups]) if isinstance(groups, str) else groups
        multiple = math.lcm(count, config.round_to)
        layers = [network.get_submodule(name) for name in together]
        _prune_correlated(layers, count, max(config.least, _rounded(keep * original[together[0]][1], multiple)))
    for parameter in network.parameters():
        parameter.grad = None
    return channel_table(network)


def require_spared(network: StereoNetwork, config: PruneConfig) -> None:
    """Raise a TrainingError if nothing in the network has a name to spare."""
    names = [name for name, _ in network.named_modules()]
    if unknown := [pattern for pattern in config.spare if not _named(names, [pattern])]:
        raise TrainingError(f"prune.spare: no layer is named {', '.join(unknown)}; expected names or patterns of names")


@torch.no_grad()
def channel_importance(group: Any) -> Tensor:
    """Σ‖w‖₂ for each of the root's channels, over all weights of the group's convolutions that it owns.

    `group` is a `torch_pruning` group over all channels of its root.
    """
    scores = torch.zeros(group[0].dep.layer.out_channels)
    for item in group:
        layer = item.dep.layer
        if not isinstance(layer, Convolution):
            continue
        outputs = item.dep.handler in (tp.prune_conv_out_channels, tp.prune_depthwise_conv_out_channels)
        weight = layer.weight if outputs else layer.weight.transpose(0, 1)
        norms = weight[item.idxs].flatten(1).norm(dim=1).float().cpu()
        scores.index_add_(0, torch.tensor(item.root_idxs), norms)
    return scores


def _roots(network: nn.Module, graph: tp.DependencyGraph, kept: Sequence[str]) -> list[Convolution]:
    """One layer of each group without layers kept; not a depthwise one, so that a concatenation's parts stay apart."""
    fixed = {module for name, module in network.named_modules() if _named([name], kept)}
    done = set(fixed)
    roots: list[Convolution] = []
    for module in network.modules():
        if not isinstance(module, Convolution) or module in done or module.groups > 1:
            continue
        cut = {item.dep.layer for item in _group(graph, module) if item.dep.handler == tp.prune_conv_out_channels}
        done |= cut
        if not cut & fixed:
            roots.append(module)
    return roots


def _named(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


def _group(graph: tp.DependencyGraph, root: Convolution) -> Any:
    return graph.get_pruning_group(root, tp.prune_conv_out_channels, list(range(root.out_channels)))


def _graph(network: StereoNetwork, ports: Ports) -> tp.DependencyGraph:
    """The graph behind the disparity and, since the volumes are cut off, behind the correlated layers' outputs."""
    size = 2 * network.size_multiple
    image = torch.zeros(1, 3, size, size, device=next(network.parameters()).device)
    loose = [parameter for module in network.modules() for parameter in _loose_parameters(module)]
    ends: list[Tensor] = []
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda _module, _inputs, output: ends.append(output))
        for name in _correlated(ports)
    ]
    hooks += [
        network.get_submodule(name).register_forward_pre_hook(lambda _module, inputs: (inputs[0].detach(), *inputs[1:]))
        for name in ports.cut
    ]
    was_training = network.training
    try:
        with torch.enable_grad():
            return tp.DependencyGraph().build_dependency(
                network.eval(),
                (image, image),
                forward_fn=lambda module, pair: [module(*pair).disparity, *ends],
                ignored_params=loose,
                verbose=False,
            )
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()


def _loose_parameters(module: nn.Module) -> list[nn.Parameter]:
    known = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm2d, nn.BatchNorm3d)
    return [] if isinstance(module, known) else list(module.parameters(recurse=False))


def _correlated(ports: Ports) -> list[str]:
    return [name for together, _ in ports.correlated for name in together]


@torch.no_grad()
def _prune_correlated(layers: Sequence[nn.Module], groups: int, goal: int) -> None:
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    if goal >= convolutions[0].out_channels:
        return
    norms = torch.stack([layer.weight.flatten(1).norm(dim=1) for layer in convolutions]).sum(dim=0).reshape(groups, -1)
    kept = norms.argsort(dim=1, descending=True)[:, : goal // groups].sort(dim=1).values
    rows = (kept + torch.arange(groups, device=kept.device)[:, None] * norms.shape[1]).flatten()
    for layer in convolutions:
        layer.weight = nn.Parameter(layer.weight[rows].clone())
        layer.out_channels = len(rows)


def _rounded(channels: float, multiple: int) -> int:
    return max(multiple, math.floor(channels / multiple + 0.5) * multiple)
