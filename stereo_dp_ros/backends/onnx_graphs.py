"""The shipped ONNX graph as an engine builder needs it: one size, images as they come, fp16 where it holds.

What fp16 cannot hold stays in fp32: sums of squares overflow at 65504, and an expected disparity is a sum over bins
that carries more digits than the 11 bits of fp16. Both are found by their operators, in any student.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from stereo_dp_ros.backends.half_graph import in_half
from stereo_dp_ros.core.errors import BackendError

__all__ = ["DeployedGraph", "deployed_graph", "fp32_nodes"]

_REDUCTIONS = frozenset({"ReduceSum", "ReduceMean", "ReduceL2", "ReduceSumSquare", "Sqrt", "Reciprocal", "Pow"})
_EXPONENTIALS = ("Exp", "Softmax")
_INPUTS = ("left", "right")


@dataclass(frozen=True)
class DeployedGraph:
    """A graph with a fixed size, and the names of the nodes that must be computed in fp32."""

    content: bytes
    fp32_nodes: frozenset[str]


def deployed_graph(path: Path, size: tuple[int, int], *, half: bool = False, images: bool = True) -> DeployedGraph:
    """Read a student's ONNX and fix its size.

    Parameters
    ----------
    path
        Inputs `left`, `right` float32 (1, 3, H, W) in 0…255; outputs `disparity`, `confidence` (1, 1, H, W).
    size
        (width, height) in px.
    half
        Compute in fp16 inside the graph, but for `fp32_nodes`; inputs and outputs keep their types.
    images
        Take uint8 (1, H, W, 3) instead, so that an image is copied to the GPU as it is.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors share no base class but Exception
        raise BackendError(f"{path}: is no ONNX file ({type(error).__name__})") from error
    _name_nodes(model.graph.node)
    _fix_size(model, size)
    pinned = fp32_nodes(model.graph)
    if half:
        model = in_half(model, pinned)
    if images:
        _take_images(model, size)
    onnx.checker.check_model(model)
    return DeployedGraph(model.SerializeToString(), pinned)


def fp32_nodes(graph: onnx.GraphProto) -> frozenset[str]:
    """Nodes that fp16 cannot hold: reductions with what feeds and follows them up to a product, and the head.

    The head is all that follows an exponential or a softmax on the way to the outputs, with that itself and what gives
    it its range.
    """
    producers = {name: node for node in graph.node for name in node.output}
    pinned: set[str] = set()
    hot: set[str] = set()
    for node in graph.node:  # in topological order
        if node.op_type in _EXPONENTIALS or any(name in hot for name in node.input):
            hot.update(node.output)
            pinned.add(node.name)
        if node.op_type in _EXPONENTIALS:
            pinned.update(p.name for p in _producers(node, producers) if p.op_type in ("Sub", "Clip"))
        elif node.op_type in _REDUCTIONS:
            pinned.add(node.name)
            pinned.update(p.name for p in _producers(node, producers) if p.op_type in ("Mul", "Pow", "Add"))
    return frozenset(pinned)


def _producers(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    return (producers[name] for name in node.input if name in producers)


def _name_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    """Give every node a name of its own, by which it can be pinned."""
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
        seen.add(node.name)


def _fix_size(model: onnx.ModelProto, size: tuple[int, int]) -> None:
    width, height = size
    for value, channels in [(v, 3) for v in model.graph.input] + [(v, 1) for v in model.graph.output]:
        dimensions = value.type.tensor_type.shape.dim
        if len(dimensions) != 4:
            raise BackendError(f"{value.name} has {len(dimensions)} dimensions, expected (1, {channels}, H, W)")
        for dimension, length in zip(dimensions, (1, channels, height, width), strict=True):
            dimension.dim_value = length
    names = tuple(value.name for value in model.graph.input)
    if names != _INPUTS:
        raise BackendError(f"the graph's inputs are {', '.join(names)}, expected left, right")
    del model.graph.value_info[:]  # they tell the dynamic shapes


def _take_images(model: onnx.ModelProto, size: tuple[int, int]) -> None:
    """Prepend uint8 (1, H, W, 3) → float32 (1, 3, H, W) to both inputs."""
    width, height = size
    prefix = []
    for value in model.graph.input:
        inner, planar = f"{value.name}_planar", f"{value.name}_float"
        for node in model.graph.node:
            node.input[:] = [inner if name == value.name else name for name in node.input]
        prefix += [
            helper.make_node("Cast", [value.name], [planar], name=f"{value.name}_cast", to=TensorProto.FLOAT),
            helper.make_node("Transpose", [planar], [inner], name=f"{value.name}_transpose", perm=[0, 3, 1, 2]),
        ]
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.UINT8, [1, height, width, 3]))
    nodes = [*prefix, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
