"""ONNX Runtime: the portable runtime, on the CPU and through its CUDA and TensorRT providers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stereo_dp_ros.backends.engine_cache import cache_folder
from stereo_dp_ros.backends.one_line import first_line
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["OnnxRuntimeBackend", "create", "unusable"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_DEVICES = {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "CUDA, TensorRT provider"}


class OnnxRuntimeBackend:
    """A model in an ONNX Runtime session; sizes may change from pair to pair.

    The TensorRT provider builds engines of its own at the first pair of each size, which takes minutes, and keeps
    them in the user's cache folder; they pass no comparison. It is used only when asked for by name.
    """

    name = "onnxruntime"

    def __init__(self, model: Model, *, precision: str, threads: int | None, device: str) -> None:
        self.precision = "fp16" if device == "tensorrt" and precision != "fp32" else "fp32"
        self.device = _DEVICES[device]
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors; warnings about unused initializers help nobody here
        if threads is not None:
            options.intra_op_num_threads = threads
        providers = [(_PROVIDERS[device], self._provider_options(device))]
        try:
            self._session = ort.InferenceSession(str(model.onnx_path), options, providers=providers)
        except Exception as error:  # its errors share no base class but Exception
            raise BackendError(f"ONNX Runtime cannot load {model.onnx_path}: {first_line(error)}") from error
        if _PROVIDERS[device] not in self._session.get_providers():  # it takes the CPU without a word
            raise BackendError(f"ONNX Runtime could not start its {_PROVIDERS[device]} (CUDA or cuDNN missing?)")

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `core.backend.Backend`."""
        feeds = {"left": _planar(left), "right": _planar(right)}
        try:
            disparity, confidence = self._session.run(["disparity", "confidence"], feeds)
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed: {first_line(error)}") from error
        return disparity[0, 0], confidence[0, 0]

    def _provider_options(self, device: str) -> dict[str, Any]:
        if device == "cuda":
            return {"use_tf32": "0"}  # on by default: fp32 would carry 10 bits instead of 23
        if device == "tensorrt":
            folder = cache_folder().parent / "onnxruntime"
            return {
                "trt_fp16_enable": str(self.precision == "fp16"),
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": str(folder),
            }
        return {}


def create(model: Model, *, precision: str, threads: int | None, device: str) -> Backend:
    """Load `model`; called by `backends.create_backend`."""
    return OnnxRuntimeBackend(model, precision=precision, threads=threads, device=device)


def unusable(device: str) -> str | None:
    """Why this installation of ONNX Runtime cannot use the device, or None."""
    if _PROVIDERS[device] in ort.get_available_providers():
        return None
    return f"onnxruntime {ort.__version__} was built without {_PROVIDERS[device]} (pip install onnxruntime-gpu)"


def _planar(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (H, W, 3) as float32 (1, 3, H, W), values 0…255."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
