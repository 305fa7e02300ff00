"""Every operator of every deployed graph is in TensorRT's documented support, of 10.1, 10.16 and 11.1.

The lists are docs/operators.md of onnx-tensorrt at its releases of these versions; `data/tensorrt_operators.json` has
the commits. 10.3, which JetPack 6 has, lies between the first two, whose rows differ in the integers of Pow alone. Of
11.4 no list could be had: by the notes of the releases 11.2 added DFT and 5-D GridSample, 11.3 and 11.4 no operator,
and NVIDIA's opset guide gives opsets 9 to 25 for 11.x.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from operators import LISTS, first_offender
from students import STUDENTS

from stereo_dp_ros.backends.onnx_graphs import deployed_graph
from stereo_dp_ros.core.models import list_models, load_model

SIZE = (320, 256)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", list_models())
def test_shipped_students_are_within_it(name, half):
    content = deployed_graph(load_model(name).onnx_path, SIZE, half=half).content
    for version in LISTS:
        assert first_offender(content, version) is None, version


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", STUDENTS)
def test_every_network_is_within_it(exported, kind, half):
    content = deployed_graph(exported(kind).onnx_path, SIZE, half=half).content
    for version in LISTS:
        assert first_offender(content, version) is None, version


def graph_of(*nodes, kind=TensorProto.FLOAT, shape=(1, 3, 8, 8), opset=18, initializers=()):
    """x → y."""
    values = [helper.make_tensor_value_info(name, kind, shape if name == "x" else None) for name in "xy"]
    graph = helper.make_graph(list(nodes), "g", values[:1], values[1:], list(initializers))
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid("custom", 1)] if opset == 17 else [])]
    return helper.make_model(graph, opset_imports=opsets).SerializeToString()


def node(operator, *inputs, **attributes):
    return helper.make_node(operator, ["x", *inputs], ["y"], name="layer4", **attributes)


AXES = numpy_helper.from_array(np.array([1], np.int64), "axes")
SCALES = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")


@pytest.mark.parametrize(
    ("content", "offender"),
    [
        (graph_of(node("Det"), shape=(3, 3)), "layer4: Det: is not in the list"),
        (graph_of(node("Relu"), opset=26), "opset ai.onnx 26: expected 9 to 24"),
        (
            graph_of(node("Sigmoid"), kind=TensorProto.DOUBLE),
            "layer4: Sigmoid: x is type 11, expected FP32, FP16, BF16",
        ),
        (
            graph_of(node("AveragePool", kernel_shape=[2, 2], dilations=[2, 2]), opset=19),
            "layer4: AveragePool: dilations are unsupported",
        ),
        (
            graph_of(node("Resize", "", "scales", mode="cubic"), initializers=[SCALES]),
            "layer4: Resize: mode is b'cubic', expected nearest, linear",
        ),
        (
            graph_of(
                helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array([1], np.int64))),
                helper.make_node("Identity", ["one"], ["axes"]),
                node("ReduceSum", "axes"),
            ),
            "layer4: ReduceSum: input 1 is computed, expected a constant",
        ),
        (graph_of(node("ReduceSum", "axes"), initializers=[AXES]), None),
    ],
)
def test_the_first_offender_is_named(content, offender):
    assert first_offender(content, "11.1") == offender


def test_the_deployed_graph_takes_images_and_has_a_fixed_size(toy):
    graph = onnx.load_from_string(deployed_graph(toy.onnx_path, (96, 64), half=True).content).graph
    for value in graph.input:
        assert value.type.tensor_type.elem_type == TensorProto.UINT8
        assert [d.dim_value for d in value.type.tensor_type.shape.dim] == [1, 64, 96, 3]
    for value in graph.output:
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
        assert [d.dim_value for d in value.type.tensor_type.shape.dim] == [1, 1, 64, 96]
