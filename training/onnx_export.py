"""A network as an ONNX file, and how far that file's answers are from torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from stereo_dp_ros.networks import StereoNetwork
from training.errors import TrainingError
from training.onnx_split import split_convolutions

__all__ = ["PARITY_PX", "export_onnx", "onnx_difference_px"]

OPSET = 18
IR_VERSION = 8  # of that operator set; runtimes of its time refuse the exporter's newer one
PARITY_PX = 0.01


class Deployed(nn.Module):
    """A network that returns what is published: disparity and confidence."""

    def __init__(self, network: StereoNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) images to two (N, 1, H, W) maps."""
        output = self.network(left, right)
        return output.disparity, output.confidence


def export_onnx(network: StereoNetwork, path: Path) -> None:
    """Write one ONNX file with dynamic height and width."""
    multiple = network.size_multiple
    left, right = torch.rand(2, 1, 3, 4 * multiple, 6 * multiple).mul(255.0)
    height, width = torch.export.Dim("height_multiples", min=2), torch.export.Dim("width_multiples", min=2)
    size = {2: multiple * height, 3: multiple * width}
    program = torch.onnx.export(
        Deployed(network).eval(),
        (left, right),
        input_names=["left", "right"],
        output_names=["disparity", "confidence"],
        dynamic_shapes={"left": size, "right": size},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise TrainingError("the ONNX exporter returned nothing; expected a program")
    model = program.model_proto
    _strip_records(model)
    split_convolutions(model)
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _strip_records(model: onnx.ModelProto) -> None:
    """Drop the exporter's stack traces, which tell the paths of the machine that it ran on."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")


def onnx_difference_px(network: StereoNetwork, path: Path, height_px: int = 192, width_px: int = 320) -> float:
    """Difference of disparity between torch and ONNX Runtime that 99.9 % of the pixels of a shifted noise pair keep to.

    Not all of them: where two disparities are equally likely, rounding decides between them.
    """
    random = np.random.default_rng(0)
    wide = random.integers(0, 256, (1, 3, height_px, width_px + 16)).astype(np.float32)
    left, right = np.ascontiguousarray(wide[..., :width_px]), np.ascontiguousarray(wide[..., 16:])
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(left), torch.from_numpy(right)).disparity.numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["disparity"], {"left": left, "right": right})
    return float(np.quantile(np.abs(np.asarray(found) - expected), 0.999))
