"""ONNX Runtime: the portable runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["OnnxRuntimeBackend", "create"]


class OnnxRuntimeBackend:
    """A model in an ONNX Runtime session on the CPU; sizes may change from pair to pair."""

    name = "onnxruntime"
    precision = "fp32"
    device = "CPU"

    def __init__(self, model: Model, *, threads: int | None) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors; warnings about unused initializers help nobody here
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(str(model.onnx_path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors share no base class but Exception
            raise BackendError(f"ONNX Runtime cannot load {model.onnx_path}: {_first_line(error)}") from error

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `core.backend.Backend`."""
        feeds = {"left": _planar(left), "right": _planar(right)}
        try:
            disparity, confidence = self._session.run(["disparity", "confidence"], feeds)
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed: {_first_line(error)}") from error
        return disparity[0, 0], confidence[0, 0]


def create(model: Model, *, precision: str, threads: int | None) -> Backend:
    """Load `model`; called by `backends.create_backend`. `precision` can only be fp32 or auto."""
    return OnnxRuntimeBackend(model, threads=threads)


def _planar(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (H, W, 3) as float32 (1, 3, H, W), values 0…255."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
