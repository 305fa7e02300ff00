"""A model whose answer is known in closed form, for tests of what surrounds a network."""

import hashlib
import json

import onnx
from onnx import TensorProto, helper


def write_toy_model(folder, name="toy", size_multiple=32, max_disparity_px=192.0):
    """disparity = mean of left's channels / 4; confidence = mean of right's channels / 255. Returns the manifest."""
    image = [1, 3, "height", "width"]
    single = [1, 1, "height", "width"]
    nodes = []
    for source, result in (("left", "disparity"), ("right", "confidence")):
        nodes += [
            helper.make_node("ReduceMean", [source], [f"{source}_mean"], axes=[1], keepdims=1),
            helper.make_node("Div", [f"{source}_mean", f"{source}_divisor"], [result]),
        ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, image) for n in ("left", "right")],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, single) for n in ("disparity", "confidence")],
        [
            helper.make_tensor("left_divisor", TensorProto.FLOAT, [], [4.0]),
            helper.make_tensor("right_divisor", TensorProto.FLOAT, [], [255.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = model.SerializeToString()
    (folder / f"{name}.onnx").write_bytes(content)
    manifest = {
        "name": name,
        "size_multiple": size_multiple,
        "max_disparity_px": max_disparity_px,
        "files": {f"{name}.onnx": hashlib.sha256(content).hexdigest()},
        "parameters": 0,
        "macs_640x480": 0,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(manifest))
    onnx.checker.check_model(model)
    return path
