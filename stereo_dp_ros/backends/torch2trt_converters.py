"""Converters that torch2trt 0.5.0 lacks, or has and gets wrong, for the calls that students make.

Lacking: rsqrt, softmax as a function, float, to, detach, amax, >=. Wrong: indexing by one slice or from a negative
start, squeeze (removes nothing), pad (the last two dimensions only, whatever mode and value). Sizes are fixed, so that
shapes are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stereo_dp_ros.core.errors import BackendError

__all__ = ["CONVERTERS"]


def _unary(*operations: str) -> Callable[[Any, Any], None]:
    def convert(trt: Any, ctx: Any) -> None:
        tensor = ctx.method_args[0]._trt
        for operation in operations:
            layer = ctx.network.add_unary(tensor, getattr(trt.UnaryOperation, operation))
            tensor = layer.get_output(0)
        ctx.method_return._trt = tensor

    return convert


def _softmax(trt: Any, ctx: Any) -> None:
    source = ctx.method_args[0]
    axis = _argument(ctx, 1, "dim", None)
    layer = ctx.network.add_softmax(source._trt)
    layer.axes = 1 << (axis % source.ndim)
    ctx.method_return._trt = layer.get_output(0)


def _detach(trt: Any, ctx: Any) -> None:
    source = ctx.method_args[0]
    if hasattr(source, "_trt"):
        ctx.method_return._trt = source._trt


def _to_float(trt: Any, ctx: Any) -> None:
    """float, to: numbers are in fp32 already, and fp16 is the builder's choice; truth values are cast."""
    source, result = ctx.method_args[0], ctx.method_return
    if not hasattr(source, "_trt"):
        return
    if not result.is_floating_point():
        raise BackendError(f"torch2trt: a cast to {result.dtype} cannot be converted, expected a float type")
    is_float = source.is_floating_point()
    result._trt = source._trt if is_float else ctx.network.add_cast(source._trt, trt.float32).get_output(0)


def _amax(trt: Any, ctx: Any) -> None:
    source = ctx.method_args[0]
    axis, keep = _argument(ctx, 1, "dim", None), _argument(ctx, 2, "keepdim", False)
    layer = ctx.network.add_reduce(source._trt, trt.ReduceOperation.MAX, 1 << (axis % source.ndim), keep)
    ctx.method_return._trt = layer.get_output(0)


def _at_least(trt: Any, ctx: Any) -> None:
    """A >= b, as not a < b."""
    first, second = (tensor._trt for tensor in ctx.method_args[:2])
    less = ctx.network.add_elementwise(first, second, trt.ElementWiseOperation.LESS)
    layer = ctx.network.add_unary(less.get_output(0), trt.UnaryOperation.NOT)
    ctx.method_return._trt = layer.get_output(0)


def _squeeze(trt: Any, ctx: Any) -> None:
    layer = ctx.network.add_shuffle(ctx.method_args[0]._trt)
    layer.reshape_dims = tuple(ctx.method_return.shape)
    ctx.method_return._trt = layer.get_output(0)


def _getitem(trt: Any, ctx: Any) -> None:
    source, index = ctx.method_args[:2]
    if not hasattr(source, "_trt"):
        return
    items = list(index) if isinstance(index, tuple) else [index]
    if not all(item is None or item is Ellipsis or isinstance(item, (int, slice)) for item in items):
        raise BackendError(f"torch2trt: indexing by {index!r} cannot be converted, expected slices and numbers")
    given = sum(isinstance(item, (int, slice)) for item in items)
    rest = [slice(None)] * (source.ndim - given)
    at = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    items[at : at + 1] = rest
    kept = [item for item in items if item is not None]
    ranges = [
        range(length)[item] if isinstance(item, slice) else range(length)[item : item + 1 or None]
        for item, length in zip(kept, source.shape, strict=True)
    ]
    layer = ctx.network.add_slice(
        source._trt, tuple(r.start for r in ranges), tuple(len(r) for r in ranges), tuple(r.step for r in ranges)
    )
    result = layer.get_output(0)
    if len(kept) != len(items) or any(isinstance(item, int) for item in kept):
        layer = ctx.network.add_shuffle(result)
        layer.reshape_dims = tuple(ctx.method_return.shape)
        result = layer.get_output(0)
    ctx.method_return._trt = result


def _pad(trt: Any, ctx: Any) -> None:
    source, padding = ctx.method_args[:2]
    mode = _argument(ctx, 2, "mode", "constant")
    value = _argument(ctx, 3, "value", None) or 0.0
    if mode != "constant":
        raise BackendError(f"torch2trt: padding of mode {mode!r} cannot be converted, expected constant")
    before = [0] * source.ndim
    for dimension in range(len(padding) // 2):  # from the last dimension on
        before[source.ndim - 1 - dimension] = int(padding[2 * dimension])
    start, shape = tuple(-n for n in before), tuple(ctx.method_return.shape)
    layer = ctx.network.add_slice(source._trt, start, shape, (1,) * source.ndim)
    layer.mode = trt.SampleMode.FILL
    fill = ctx.network.add_constant((), np.array([value], np.float32))
    layer.set_input(4, fill.get_output(0))
    ctx.method_return._trt = layer.get_output(0)


def _argument(ctx: Any, position: int, name: str, default: Any) -> Any:
    if len(ctx.method_args) > position:
        return ctx.method_args[position]
    return ctx.method_kwargs.get(name, default)


# Function as torch2trt names it → converter(tensorrt, context).
CONVERTERS: dict[str, Callable[[Any, Any], None]] = {
    "torch.rsqrt": _unary("SQRT", "RECIP"),
    "torch.softmax": _softmax,
    "torch.Tensor.float": _to_float,
    "torch.Tensor.to": _to_float,
    "torch.Tensor.detach": _detach,
    "torch.Tensor.amax": _amax,
    "torch.Tensor.__ge__": _at_least,
    "torch.Tensor.squeeze": _squeeze,
    "torch.squeeze": _squeeze,
    "torch.Tensor.__getitem__": _getitem,
    "torch.nn.functional.pad": _pad,
}
