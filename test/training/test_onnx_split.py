"""Convolutions that are taken apart: the same values from as many convolutions as parts."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.onnx_split import split_convolutions

WEIGHT = np.random.default_rng(1).normal(size=(7, 3, 1, 1)).astype(np.float32)
BIAS = np.arange(7, dtype=np.float32)
IMAGE = np.random.default_rng(2).normal(size=(1, 3, 4, 5)).astype(np.float32)


def model(sizes=(2, 4, 1), axis=1, also_read=False):
    sized = {"inputs": ["grown", "sizes"]} if sizes else {"inputs": ["grown"], "num_outputs": 3}
    parts = [f"y{i}" for i in range(len(sizes or (0, 0, 0)))]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["raw"], "conv", kernel_shape=[1, 1]),
        helper.make_node("Clip", ["raw", "", "most"], ["clipped"], "clip"),
        helper.make_node("Exp", ["clipped"], ["grown"], "exp"),
        helper.make_node("Split", outputs=parts, name="split", axis=axis, **sized),
    ]
    outputs = parts + (["clipped"] if also_read else [])
    constants = {
        "w": WEIGHT,
        "b": BIAS,
        "most": np.float32(5.0),
        **({"sizes": np.array(sizes, np.int64)} if sizes else {}),
    }
    graph = helper.make_graph(
        nodes,
        "parts",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 5])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, 4, 5]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(parts):
    return onnxruntime.InferenceSession(parts.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"x": IMAGE}
    )


@pytest.mark.parametrize(("sizes", "expected"), [((2, 4, 1), [1, 2, 4]), ((), [1, 3, 3])])
def test_each_part_has_a_convolution_and_its_values(sizes, expected):
    whole, parts = model(sizes), model(sizes)
    assert split_convolutions(parts) == 1
    onnx.checker.check_model(parts, full_check=True)
    assert [node.op_type for node in parts.graph.node] == ["Conv", "Clip", "Exp"] * 3
    assert sorted(t.dims[0] for t in parts.graph.initializer if t.name.startswith("w")) == expected
    assert {t.name for t in parts.graph.initializer if t.name in ("w", "b", "sizes")} == set()
    for before, after in zip(run(whole), run(parts), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.parametrize("kept", [model(also_read=True), model(sizes=(2, 2), axis=2)])
def test_what_is_read_elsewhere_or_split_otherwise_stays(kept):
    before = kept.SerializeToString()
    assert split_convolutions(kept) == 0
    assert kept.SerializeToString() == before
