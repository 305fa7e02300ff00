"""Devices and processes of a run, and what they agree on."""

from __future__ import annotations

import os
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor

from training.errors import TrainingError

__all__ = ["any_process", "open_fabric"]


def open_fabric(accelerator: str, precision: str, devices: int | None = None) -> Fabric:
    """Fabric with its processes launched: those of `torchrun`, on all its nodes, else `devices` of this machine.

    Raises
    ------
    TrainingError
        Fabric does not know the accelerator or precision, or does not find the devices; or there is more than one
        process and `devices` is None, for what is done by one alone.
    """
    here, nodes = devices or 1, 1
    if TorchElasticEnvironment.detect():
        world, here = (int(os.environ[name]) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        nodes = world // here
        if world > 1 and devices is None:
            raise TrainingError(f"started by torchrun in {world} processes; expected one")
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=here,
            num_nodes=nodes,
            strategy="ddp" if here * nodes > 1 else "auto",
            precision=cast(Any, precision),
        )
    except (RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise TrainingError(f"accelerator {accelerator}, precision {precision}: {said}") from error
    fabric.launch()
    return fabric


def any_process(fabric: Fabric, here: bool) -> bool:
    """Whether it is so in any of the processes; all of them must ask."""
    if fabric.world_size == 1:
        return here
    count = torch.tensor(float(here), device=fabric.device)
    return float(cast(Tensor, fabric.all_reduce(count, reduce_op="sum"))) > 0
