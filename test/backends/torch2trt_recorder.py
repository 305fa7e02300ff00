"""Which torch calls of a network torch2trt would convert: its hooking, without TensorRT and without converting.

torch2trt replaces functions of `torch`, `torch.Tensor` and `torch.nn.functional` by name. A call of one that has a
converter marks its result as known to TensorRT; what happens inside it is not looked at. A result of any other call is
unknown, and a converter that is given an unknown tensor takes it for a constant.
"""

import contextlib
from dataclasses import dataclass, field
from unittest import mock

import torch
from torch.nn import functional

NAMESPACES = {"torch": torch, "torch.Tensor": torch.Tensor, "torch.nn.functional": functional}


@dataclass
class Recorder:
    """Calls seen, and the first that a conversion would lose."""

    converters: frozenset
    calls: list = field(default_factory=list)  # (layer, function name, arguments, keyword arguments) in order
    layers: list = field(default_factory=list)
    busy: bool = False

    def wrapper(self, name, function):
        def call(*args, **kwargs):
            if self.busy:
                return function(*args, **kwargs)
            known = name in self.converters
            self.busy = known
            try:
                result = function(*args, **kwargs)
            finally:
                self.busy = False
            inputs = [t for t in tensors((args, kwargs)) if source(t) is not None]
            if inputs:
                lost = next((source(t) for t in inputs if source(t) != "known"), None)
                layer = self.layers[-1] if self.layers else ""
                mark = "known" if known and lost is None else lost or f"{layer}: {name}"
                for tensor in tensors(result):
                    if source(tensor) is None or not known:
                        tensor.source = mark
                if known:
                    self.calls.append((layer, name, args, kwargs))
            return result

        return call

    @contextlib.contextmanager
    def hooked(self, network):
        """Record while the block runs."""
        with contextlib.ExitStack() as stack:
            for prefix, namespace in NAMESPACES.items():
                for attribute in dir(namespace):
                    function = getattr(namespace, attribute, None)
                    if is_hooked(attribute, function):
                        wrapper = self.wrapper(f"{prefix}.{attribute}", function)
                        stack.enter_context(mock.patch.object(namespace, attribute, wrapper))
            for name, module in network.named_modules():
                for hook in (
                    module.register_forward_pre_hook(lambda *_, name=name: self.layers.append(name)),
                    module.register_forward_hook(self.leave),
                ):
                    stack.callback(hook.remove)
            yield self

    def leave(self, *_):
        self.layers.pop()  # returns None: another value would replace the layer's output


def is_hooked(name, function):
    """As torch2trt chooses them: public ones and operators, written in C or Python."""
    kinds = ("function", "builtin_function_or_method", "method_descriptor", "wrapper_descriptor")
    if type(function).__name__ not in kinds or (name.startswith("_") and not name.startswith("__")):
        return False
    return not name.startswith("__") or name in OPERATORS


OPERATORS = frozenset(
    f"__{prefix}{name}__"
    for prefix in ("", "r", "i")
    for name in ("add", "sub", "mul", "truediv", "floordiv", "pow", "mod", "matmul")
) | {"__getitem__", "__neg__", "__lt__", "__gt__", "__eq__", "__ne__", "__le__", "__ge__"}


def tensors(value):
    """Every tensor in nested tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


def source(tensor):
    """None for a constant, "known", or the layer and function at which it was lost."""
    return tensor.__dict__.get("source")


def lost_at(network, converters, size_px=(96, 64)):
    """Where the first output stops being known to TensorRT, as `layer: function`, or None; and the recorder."""
    width, height = size_px
    recorder = Recorder(frozenset(converters))
    images = [torch.rand(1, 3, height, width) * 255 for _ in range(2)]
    for image in images:
        image.source = "known"
    with torch.no_grad(), recorder.hooked(network):
        outputs = network(*images)
    marks = [source(output) for output in outputs]
    return next((mark for mark in marks if mark != "known"), None), recorder
