"""What of an ONNX graph is outside TensorRT's documented support, by name of layer and operator."""

import json
from pathlib import Path

import onnx
from onnx import TensorProto

LISTS = json.loads((Path(__file__).parent / "data" / "tensorrt_operators.json").read_text())["lists"]
TYPES = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.UINT8: "UINT8",
    TensorProto.BOOL: "BOOL",
}
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")  # the lists give what they compare
RESIZE = {
    "coordinate_transformation_mode": (
        "half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners",
    ),
    "mode": ("nearest", "linear"),
    "nearest_mode": ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
    "keep_aspect_ratio_policy": ("stretch",),
    "antialias": (0,),
}  # fmt: skip
# Operator → index of the input that must be known when the engine is built.
CONSTANT_INPUT = {
    "ReduceSum": 1, "ReduceMean": 1, "ReduceMax": 1, "ReduceMin": 1, "ReduceL2": 1,
    "Squeeze": 1, "Unsqueeze": 1, "Slice": 3, "Pad": 3,
}  # fmt: skip


def first_offender(content, version):
    """`layer: operator: reason` of the first node that TensorRT `version` does not document, or None."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content), strict_mode=True, data_prop=True)
    graph, support = model.graph, LISTS[version]
    values = {v.name: v.type.tensor_type for v in [*graph.value_info, *graph.input, *graph.output]}
    types = {name: value.elem_type for name, value in values.items()}
    types.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    ranks = {name: len(value.shape.dim) for name, value in values.items()}
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    lowest, highest = support["opsets"]
    for entry in model.opset_import:
        if entry.domain or not lowest <= entry.version <= highest:
            return f"opset {entry.domain or 'ai.onnx'} {entry.version}: expected {lowest} to {highest}"
    for node in graph.node:
        reason = offence(node, support["operators"], types, ranks, constants)
        if reason:
            return f"{node.name}: {node.op_type}: {reason}"
    return None


def offence(node, operators, types, ranks, constants):
    """Why the node is outside the support, or None."""
    if node.domain:
        return f"of domain {node.domain}, needs a plugin"
    if node.op_type not in operators:
        return "is not in the list"
    outputs = () if node.op_type in COMPARISONS else node.output
    for name in [*node.input[:1], *outputs]:
        kind = TYPES.get(types[name], f"type {types[name]}")
        if kind not in operators[node.op_type]:
            return f"{name} is {kind}, expected {', '.join(operators[node.op_type])}"
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    index = CONSTANT_INPUT.get(node.op_type)
    if index is not None and len(node.input) > index and node.input[index] and node.input[index] not in constants:
        return f"input {index} is computed, expected a constant"
    if node.op_type in ("AveragePool", "MaxPool"):
        return pooling_offence(node, attributes, ranks)
    if node.op_type == "GridSample" and ranks[node.input[0]] != 4:
        return "expected 4-D input"
    if node.op_type == "Resize":
        for name, allowed in RESIZE.items():
            value = attributes.get(name, allowed[0])
            if (value.decode() if isinstance(value, bytes) else value) not in allowed:
                return f"{name} is {value}, expected {', '.join(map(str, allowed))}"
    return None


def pooling_offence(node, attributes, ranks):
    """Of AveragePool and MaxPool."""
    if ranks[node.input[0]] not in (4, 5):
        return "expected 2-D or 3-D pooling"
    if set(attributes.get("dilations", [1])) != {1}:
        return "dilations are unsupported"
    return "the output of indices is unsupported" if len(node.output) > 1 else None
