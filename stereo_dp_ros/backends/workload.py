"""What a network asks of a machine for one pair: operations and bytes, counted while shapes alone run through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Workload", "count_workload"]

_PRODUCTS = ("convolution", "bmm", "mm", "addmm")
_FOLDED = ("batch_norm", "detach")  # gone in what is deployed


@dataclass(frozen=True)
class Workload:
    """Of one pair; bytes as if every float had two, as in fp16 and bf16.

    Attributes
    ----------
    macs
        Multiply-accumulates of convolutions and matrix products.
    weight_bytes
        Of all parameters.
    pair_bytes
        The two uint8 images, disparity and confidence in float32.
    product_bytes
        What convolutions and matrix products read and write, weights left out: as if all between them were fused.
    operator_bytes
        What all operators read and write, weights and mere changes of shape left out: as if nothing were fused.
    """

    macs: int
    weight_bytes: int
    pair_bytes: int
    product_bytes: int
    operator_bytes: int


def count_workload(network: nn.Module, size: tuple[int, int]) -> Workload:
    """Count for a network input of (width, height) px; `network` is moved to torch's device without memory."""
    width, height = size
    network = network.eval().to("meta")
    image = torch.zeros(1, 3, height, width, device="meta")
    traffic = _Traffic(network)
    with torch.no_grad(), FlopCounterMode(display=False) as operations, traffic:
        network(image, image)
    return Workload(
        macs=operations.get_total_flops() // 2,
        weight_bytes=2 * sum(parameter.numel() for parameter in network.parameters()),
        pair_bytes=width * height * (2 * 3 + 2 * 4),
        product_bytes=2 * traffic.by_products,
        operator_bytes=2 * traffic.by_all,
    )


class _Traffic(TorchDispatchMode):
    """Counts the numbers that operators read and write."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._weights = {id(tensor) for tensor in [*network.parameters(), *network.buffers()]}
        self.by_products = self.by_all = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        is_view = any(returned.alias_info is not None for returned in func._schema.returns)
        if not is_view and not any(folded in name for folded in _FOLDED):
            moved = sum(tensor.numel() for tensor in _tensors((args, result)) if id(tensor) not in self._weights)
            self.by_all += moved
            if name in _PRODUCTS:
                self.by_products += moved
        return result


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
