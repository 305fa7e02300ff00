"""The fp16 graph: what is computed in fp16, what stays in fp32, and that it holds on real pairs."""

import numpy as np
import onnx
import pytest
from half_emulation import cpu_session
from onnx import TensorProto, helper, numpy_helper

from stereo_dp_ros.backends.engine_gate import TOLERANCES, compare
from stereo_dp_ros.backends.half_graph import in_half
from stereo_dp_ros.backends.onnx_graphs import deployed_graph, fp32_nodes
from stereo_dp_ros.core.images import read_image
from stereo_dp_ros.core.models import list_models, load_model
from stereo_dp_ros.core.preprocessing import Preprocessing

SMALL = (192, 128)  # a head of 192 bins at full resolution takes a second where nothing is fused
F32, F16 = TensorProto.FLOAT, TensorProto.FLOAT16


def model_of(*nodes, weights=()):
    """x (4,) → y (4,)."""
    x, y = (helper.make_tensor_value_info(name, F32, [4]) for name in "xy")
    graph = helper.make_graph(list(nodes), "g", [x], [y], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def node(operator, inputs, output, name):
    return helper.make_node(operator, inputs, [output], name=name)


def run(model, x):
    onnx.checker.check_model(model)
    return cpu_session(model.SerializeToString()).run(["y"], {"x": np.array(x, np.float32)})[0]


SQUARE = (node("Mul", ["x", "x"], "square", "square"), node("Relu", ["square"], "y", "positive"))


def test_fp16_overflows_where_it_must_and_pinned_nodes_do_not():
    model = model_of(*SQUARE)
    x = [3.0, -200.0, 300.0, 0.5]
    assert run(in_half(model, frozenset()), x).tolist() == [9.0, 40000.0, np.inf, 0.25]
    assert run(in_half(model, frozenset({"square", "positive"})), x).tolist() == [9.0, 40000.0, 90000.0, 0.25]


def test_weights_become_fp16_and_those_too_large_stay():
    weights = [numpy_helper.from_array(np.array([v], np.float32), n) for n, v in (("small", 0.1), ("large", 1e5))]
    model = model_of(node("Mul", ["x", "small"], "a", "a"), node("Add", ["a", "large"], "y", "b"), weights=weights)
    half = in_half(model, frozenset())
    kinds = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert kinds == {"small_fp16": F16, "large": F32}
    kept = in_half(model, frozenset({"b"}))
    np.testing.assert_allclose(run(kept, [1, 2, 3, 4]), 1e5 + 0.1 * np.arange(1, 5), rtol=1e-6)


def test_a_tensor_is_cast_once_for_all_its_readers():
    nodes = [node("Relu", ["x"], "r", "r"), *(node("Abs", ["r"], f"a{i}", f"a{i}") for i in range(2))]
    model = model_of(*nodes, node("Add", ["a0", "a1"], "y", "sum"))
    half = in_half(model, frozenset({"a0", "a1", "sum"}))
    assert [n.op_type for n in half.graph.node] == ["Cast", "Relu", "Cast", "Abs", "Abs", "Add"]


def test_inputs_and_outputs_keep_their_types():
    half = in_half(model_of(*SQUARE), frozenset())
    assert [v.type.tensor_type.elem_type for v in [*half.graph.input, *half.graph.output]] == [F32, F32]


def test_sums_of_squares_and_the_head_are_pinned():
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    model = model_of(
        node("Relu", ["x"], "f", "features"),
        node("Mul", ["f", "f"], "q", "square"),
        node("ReduceSum", ["q", "axes"], "s", "sum"),
        node("Sqrt", ["s"], "n", "norm"),
        node("Div", ["f", "n"], "u", "unit"),
        node("Softmax", ["u"], "p", "softmax"),
        node("Mul", ["p", "x"], "y", "expectation"),
        weights=[axes],
    )
    assert fp32_nodes(model.graph) == {"square", "sum", "norm", "softmax", "expectation"}


def test_an_exponential_begins_the_head_and_its_range_is_pinned_too():
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    model = model_of(
        node("Relu", ["x"], "f", "features"),
        node("ReduceMax", ["f", "axes"], "m", "largest"),
        node("Sub", ["f", "m"], "d", "lowered"),
        node("Exp", ["d"], "e", "odds"),
        node("Mul", ["e", "x"], "y", "expectation"),
        weights=[axes],
    )
    assert fp32_nodes(model.graph) == {"lowered", "odds", "expectation"}


def infer_of(content):
    runner = cpu_session(content)

    def infer(left, right):
        answers = runner.run(["disparity", "confidence"], {"left": left[None], "right": right[None]})
        return tuple(answer[0, 0] for answer in answers)

    return infer


@pytest.mark.parametrize("name", list_models())
def test_shipped_students_hold_in_fp16(name):
    graphs = [deployed_graph(load_model(name).onnx_path, SMALL, half=half).content for half in (True, False)]
    compare(*(infer_of(graph) for graph in graphs), SMALL, TOLERANCES["fp16"])


@pytest.mark.parametrize("name", list_models())
def test_fp16_is_finite_on_real_pairs(name, data_folder):
    model = load_model(name)
    infer = infer_of(deployed_graph(model.onnx_path, SMALL, half=True).content)
    for folder in sorted((data_folder / "pairs").glob("*/*"))[::2]:
        images = [read_image(folder / f"im{i}.png") for i in (0, 1)]
        plan = Preprocessing.plan(images[0].shape[1::-1], model.manifest.size_multiple, SMALL)
        disparity, confidence = infer(*(plan.apply(image) for image in images))
        assert np.isfinite(disparity).all() and np.isfinite(confidence).all(), folder
        assert disparity.min() >= 0 and disparity.max() <= model.manifest.max_disparity_px + 1, folder
