"""An fp16 graph on a CPU that has no fp16 arithmetic: each node in fp32, each fp16 tensor rounded to fp16.

ONNX Runtime alone would keep a chain of fp16 nodes in fp32 from end to end on a CPU, where nothing overflows; casts
that stand in the graph it has to carry out.
"""

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper


def emulated(content):
    """The same graph with every fp16 node in fp32 between casts."""
    model = onnx.load_from_string(content)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    halves = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    halves |= {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    nodes = []
    for index, node in enumerate(model.graph.node):
        if node.op_type == "Cast" or not halves.intersection([*node.input, *node.output]):
            nodes.append(node)
            continue
        before, after = [], []
        for position, name in enumerate(node.input):
            if name in halves:
                wide = f"{name}_in{index}_{position}"
                before.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
                node.input[position] = wide
        for position, name in enumerate(node.output):
            if name in halves:
                wide = f"{name}_out"
                after.append(helper.make_node("Cast", [wide], [name], to=TensorProto.FLOAT16))
                node.output[position] = wide
        nodes += [*before, node, *after]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def cpu_session(content):
    """ONNX Runtime on the graph as it is written."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(emulated(content), options, providers=["CPUExecutionProvider"])
