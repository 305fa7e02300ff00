"""torch → TensorRT engine, through torch2trt, from the network's definition and its weights."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import torch

from stereo_dp_ros.backends.deployed_network import DeployedNetwork
from stereo_dp_ros.backends.one_line import first_line
from stereo_dp_ros.backends.tensorrt_library import has_precision_flags, load_tensorrt
from stereo_dp_ros.backends.torch2trt_converters import CONVERTERS
from stereo_dp_ros.backends.torch_backend import load_weights
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["build"]

SOURCE = "https://github.com/NVIDIA-AI-IOT/torch2trt"


def build(model: Model, size: tuple[int, int], precision: str) -> bytes:
    """A serialized engine for (width, height), taking float32 (1, 3, H, W): torch2trt knows no uint8 inputs.

    In fp16 the builder is free in every layer; torch2trt has no way to pin one.
    """
    trt = load_tensorrt()
    if not has_precision_flags(trt):
        raise BackendError(f"torch2trt needs TensorRT 10, found {trt.__version__} (use --converter onnx)")
    library = _load_torch2trt()
    network = DeployedNetwork(load_weights(model), images=False).cuda()
    width, height = size
    pair = [torch.zeros(1, 3, height, width, device="cuda") for _ in range(2)]
    for name, converter in CONVERTERS.items():
        library.tensorrt_converter(name)(functools.partial(converter, trt))
    try:
        with torch.no_grad(), library.use_shape_wrapping(False):  # shapes as numbers: the size is fixed
            converted = library.torch2trt(
                network,
                pair,
                input_names=["left", "right"],
                output_names=["disparity", "confidence"],
                fp16_mode=precision == "fp16",
            )
    except BackendError:
        raise
    except Exception as error:  # whatever its converters run into
        raise BackendError(
            f"torch2trt cannot convert {model.name}: {first_line(error)} (use --converter onnx)"
        ) from error
    if converted.engine is None:
        raise BackendError(f"TensorRT {trt.__version__} built no engine from torch2trt's network")
    return bytes(memoryview(converted.engine.serialize()))


def _load_torch2trt() -> Any:
    try:
        return importlib.import_module("torch2trt.torch2trt")
    except (ImportError, OSError) as error:
        raise BackendError(f"torch2trt cannot be imported ({first_line(error)}); it comes from {SOURCE}") from error
