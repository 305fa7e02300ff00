"""An ONNX graph computed in fp16, but for named nodes; casts stand where the two meet."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["in_half"]

_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
# Operator → inputs that are float32 whatever the type of the rest.
_ALWAYS_FLOAT = {"Resize": (1, 2)}
# Operators that say the type of their output themselves.
_TYPED = frozenset({"Cast", "Constant", "ConstantOfShape", "Range"})
_LARGEST = float(np.finfo(np.float16).max)


def in_half(model: onnx.ModelProto, fp32_nodes: frozenset[str]) -> onnx.ModelProto:
    """A copy of the model in which every node but `fp32_nodes` takes and gives fp16 where it took and gave fp32.

    Inputs and outputs of the graph keep their types; weights too large for fp16 stay in fp32.
    """
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    halves = _Halves(inferred)
    for node in model.graph.node:
        halves.add(node, pinned=node.name in fp32_nodes)
    return halves.finish(model)


class _Halves:
    """The new graph while it grows, node by node in topological order."""

    def __init__(self, inferred: onnx.ModelProto) -> None:
        graph = inferred.graph
        values = [*graph.value_info, *graph.input, *graph.output]
        types = {value.name: value.type.tensor_type.elem_type for value in values}
        types.update({tensor.name: tensor.data_type for tensor in graph.initializer})
        self._floats = {name for name, kind in types.items() if kind == _FLOAT}
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._halved: set[str] = set()  # tensors that the new graph has in fp16
        self._cast: dict[tuple[str, int], str] = {}
        self._outputs = {value.name for value in graph.output}
        self._nodes: list[onnx.NodeProto] = []
        self._new_weights: list[onnx.TensorProto] = []

    def add(self, node: onnx.NodeProto, *, pinned: bool) -> None:
        """Append a node of the old graph, with the casts it needs."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        fixed = _ALWAYS_FLOAT.get(node.op_type, ())
        if node.op_type not in _TYPED:
            for index, name in enumerate(node.input):
                if name in self._floats:
                    wanted = _FLOAT if pinned or index in fixed else _HALF
                    copy.input[index] = self._as(name, wanted)
        self._nodes.append(copy)
        if pinned or node.op_type in _TYPED:
            return
        for index, name in enumerate(node.output):
            if name not in self._floats:
                continue
            if name in self._outputs:
                copy.output[index] = f"{name}_fp16"
                self._nodes.append(helper.make_node("Cast", [f"{name}_fp16"], [name], f"{name}_cast", to=_FLOAT))
            else:
                self._halved.add(name)

    def finish(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The new model; weights that no node reads any more are gone."""
        new = onnx.ModelProto()
        new.CopyFrom(model)
        del new.graph.node[:], new.graph.value_info[:], new.graph.initializer[:]
        read = {name for node in self._nodes for name in node.input}
        new.graph.node.extend(self._nodes)
        new.graph.initializer.extend(w for w in [*model.graph.initializer, *self._new_weights] if w.name in read)
        return new

    def _as(self, name: str, wanted: int) -> str:
        """The tensor's name in the wanted type, after a cast if it has the other one."""
        if (name in self._halved) == (wanted == _HALF):
            return name
        if (name, wanted) not in self._cast:
            self._cast[name, wanted] = self._convert(name, wanted)
        return self._cast[name, wanted]

    def _convert(self, name: str, wanted: int) -> str:
        new = f"{name}_{'fp16' if wanted == _HALF else 'fp32'}"
        if name in self._weights:
            values = numpy_helper.to_array(self._weights[name])
            if np.abs(values, dtype=np.float32).max(initial=0) <= _LARGEST:
                self._new_weights.append(numpy_helper.from_array(values.astype(np.float16), new))
                return new
        self._nodes.append(helper.make_node("Cast", [name], [new], f"{new}_cast", to=wanted))
        return new
