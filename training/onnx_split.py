"""A convolution whose output channels are taken apart becomes one convolution for each part.

Runtimes keep channels next to each other in memory; taking them apart there is a copy of everything, where a
convolution with fewer outputs writes its part by itself.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["split_convolutions"]

_ELEMENTWISE = ("Cast", "Clip", "Exp", "Relu", "Sigmoid")


def split_convolutions(model: onnx.ModelProto) -> int:
    """Rewrite every `Conv → element-wise functions → Split along the channels` in place; returns how many there were.

    Only where nothing else reads what lies between, and the convolution's weights are constants.
    """
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    readers = [name for node in graph.node for name in node.input] + [value.name for value in graph.output]
    constants = {tensor.name: tensor for tensor in graph.initializer}
    rewritten = 0
    for split in [node for node in graph.node if node.op_type == "Split"]:
        chain = _chain(split, makers, readers)
        if not chain or any(name not in constants for name in chain[0].input[1:]):
            continue
        sizes = _sizes(split, constants[chain[0].input[1]].dims[0], constants)
        if not sizes:
            continue
        _replace(graph, chain, split, sizes, constants)
        rewritten += 1
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return rewritten


def _chain(split: onnx.NodeProto, makers: dict[str, onnx.NodeProto], readers: list[str]) -> list[onnx.NodeProto]:
    """Convolution and functions up to `split`, in order; empty if that is not what its input is made by."""
    attributes = {a.name: helper.get_attribute_value(a) for a in split.attribute}
    chain: list[onnx.NodeProto] = []
    name = split.input[0]
    while attributes.get("axis") == 1 and name in makers and readers.count(name) == 1:
        node = makers[name]
        chain.insert(0, node)
        if node.op_type == "Conv":
            return chain
        if node.op_type not in _ELEMENTWISE:
            break
        name = node.input[0]
    return []


def _sizes(split: onnx.NodeProto, channels: int, constants: dict[str, onnx.TensorProto]) -> list[int]:
    """Channels of each part; empty where they are not constant."""
    if len(split.input) < 2:  # equal parts, but for a smaller last one
        size = -(-channels // len(split.output))
        return [min(size, channels - start) for start in range(0, channels, size)]
    if split.input[1] not in constants:
        return []
    return [int(size) for size in numpy_helper.to_array(constants[split.input[1]])]


def _replace(
    graph: onnx.GraphProto,
    chain: list[onnx.NodeProto],
    split: onnx.NodeProto,
    sizes: list[int],
    constants: dict[str, onnx.TensorProto],
) -> None:
    place = list(graph.node).index(split)
    starts = np.cumsum([0, *sizes[:-1]])
    for part, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        nodes = [_renamed(node, f"_part{part}") for node in chain]
        for name in chain[0].input[1:]:
            values = np.ascontiguousarray(numpy_helper.to_array(constants[name])[start : start + size])
            graph.initializer.append(numpy_helper.from_array(values, f"{name}_part{part}"))
        nodes[0].input[0] = chain[0].input[0]
        for function, old in zip(nodes[1:], chain[1:], strict=True):
            function.input[1:] = old.input[1:]
        nodes[-1].output[0] = split.output[part]
        for node in reversed(nodes):
            graph.node.insert(place, node)
    for node in (*chain, split):
        graph.node.remove(node)


def _renamed(node: onnx.NodeProto, suffix: str) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name += suffix
    copy.input[:] = [name and name + suffix for name in node.input]
    copy.output[:] = [name + suffix for name in node.output]
    return copy
