"""OpenVINO: the fastest runtime on a CPU."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import properties
from openvino.preprocess import ColorFormat, PrePostProcessor

from stereo_dp_ros.backends.one_line import last_line
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import INT8_SUFFIX, Model

__all__ = ["OpenVinoBackend", "create", "image_network", "shared_core", "unusable"]

_TYPES = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16}
_X86 = ("x86_64", "AMD64")  # where 8 bits were measured: faster and as accurate, with and without VNNI


class OpenVinoBackend:
    """A model compiled for the CPU, once for each size that it meets.

    Precision "int8" is the model's file with 8-bit convolutions, the rest in bf16 where the CPU has it, else in fp32;
    "auto" takes it on x86 if the model has such a file.
    """

    name = "openvino"
    device = "CPU"

    def __init__(self, model: Model, *, precision: str, threads: int | None) -> None:
        self._core = shared_core()
        capabilities = self._core.get_property("CPU", properties.device.capabilities())
        floats = "bf16" if "BF16" in capabilities else "fp32"
        if precision == "auto":
            eight_bits = model.int8_path is not None and "INT8" in capabilities and platform.machine() in _X86
            precision = "int8" if eight_bits else floats
        if precision == "bf16" and floats != "bf16":
            raise BackendError("this CPU has no bf16 instructions, expected precision fp32 or auto")
        self.precision = precision
        path = model.onnx_path if precision != "int8" else _require_int8(model)
        self._config: dict[str, object] = {
            properties.hint.inference_precision(): _TYPES[floats if precision == "int8" else precision],
            properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY,
        }
        if threads is not None:
            self._config[properties.inference_num_threads()] = threads
        try:
            self._network = image_network(self._core.read_model(path))
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot read {path}: {last_line(error)}") from error
        self._size: tuple[int, ...] = ()
        self._request: ov.InferRequest | None = None

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `core.backend.Backend`. A size other than the last pair's compiles the network again."""
        try:
            if self._request is None or left.shape != self._size:
                self._request = self._compile(left.shape)
                self._size = left.shape
            images = {"left": left[None], "right": right[None]}
            result = self._request.infer(images, share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {last_line(error)}") from error
        # Copied, as the next pair's answers come to the same place.
        return result["disparity"][0, 0].copy(), result["confidence"][0, 0].copy()

    def _compile(self, shape: tuple[int, ...]) -> ov.InferRequest:
        # A fixed size runs faster than a dynamic one; a camera seldom changes its own.
        network = self._network.clone()
        network.reshape({"left": [1, *shape], "right": [1, *shape]})
        return self._core.compile_model(network, "CPU", self._config).create_infer_request()


def _require_int8(model: Model) -> Path:
    if model.int8_path is None:
        raise BackendError(f"model {model.name} has no {INT8_SUFFIX} file, expected precision fp32, bf16 or auto")
    return model.int8_path


def create(model: Model, *, precision: str, threads: int | None, device: str) -> Backend:
    """Load `model`; called by `backends.create_backend`. `device` can only be the CPU."""
    return OpenVinoBackend(model, precision=precision, threads=threads)


def unusable(device: str) -> str | None:
    """None: where OpenVINO can be imported, it runs on the CPU."""
    return None


@cache
def shared_core() -> ov.Core:
    """The one Core of this process, never freed.

    A Core's CPU plugin puts a signal stack of its own under the calling thread and, when freed, the one that it found:
    with two of them freed in the order of their making that one is gone, and the next signal (Ctrl-C) is a segfault.
    """
    return ov.Core()


def image_network(network: ov.Model) -> ov.Model:
    """The network taking uint8 NHWC images, so that conversion and transposition run inside the compiled graph."""
    steps = PrePostProcessor(network)
    for index in range(len(network.inputs)):
        tensor = steps.input(index).tensor()
        tensor.set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(ColorFormat.RGB)
        steps.input(index).model().set_layout(ov.Layout("NCHW"))
    return steps.build()
