"""ONNX → TensorRT engine, through TensorRT's own parser."""

from __future__ import annotations

from typing import Any

from stereo_dp_ros.backends.onnx_graphs import deployed_graph
from stereo_dp_ros.backends.tensorrt_library import has_precision_flags, load_tensorrt
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["build"]


def build(model: Model, size: tuple[int, int], precision: str) -> bytes:
    """A serialized engine for (width, height), taking uint8 (1, H, W, 3).

    With TensorRT 10 the builder chooses fp16 by flag, and the layers that fp16 cannot hold are pinned to fp32. From
    11 on it keeps to the types in the graph, so the graph itself is in fp16 but for those layers.
    """
    trt = load_tensorrt()
    flags = has_precision_flags(trt)
    half = precision == "fp16"
    graph = deployed_graph(model.onnx_path, size, half=half and not flags)
    logger = _new_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph.content):
        errors = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise BackendError(f"TensorRT {trt.__version__} cannot parse {model.onnx_path}: {errors}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default: fp32 would carry 10 bits instead of 23
    if half and flags:
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        _pin_to_fp32(trt, network, graph.fp32_nodes)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise BackendError(f"TensorRT {trt.__version__} built no engine: {logger.last_error}")
    return bytes(memoryview(engine))


def _pin_to_fp32(trt: Any, network: Any, names: frozenset[str]) -> None:
    """Compute in fp32 every layer that the parser made of a named node; comparisons keep their truth values."""
    typed = (trt.LayerType.CONSTANT, trt.LayerType.CAST, trt.LayerType.SHAPE)  # these have a type of their own
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type in typed or _node_name(layer) not in names:
            continue
        types = [layer.get_output(i).dtype for i in range(layer.num_outputs)]
        if all(dtype in (trt.float32, trt.bool) for dtype in types):
            layer.precision = trt.float32
            for i, dtype in enumerate(types):
                if dtype == trt.float32:
                    layer.set_output_type(i, trt.float32)


def _node_name(layer: Any) -> str:
    """The ONNX node of a layer: `[ONNX Layer: name]` or `[ONNX Layer: name | …]` in its metadata, else its name."""
    _, found, rest = layer.metadata.partition("[ONNX Layer: ")
    return str(rest.partition("]")[0].partition(" | ")[0] if found else layer.name)


def _new_logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        """Keeps the last error: the builder returns None and says why only here."""

        def __init__(self) -> None:
            super().__init__()
            self.last_error = "no reason given"

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.last_error = message.strip().splitlines()[0]

    return Logger()
