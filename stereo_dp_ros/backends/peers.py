"""Other people's stereo networks as ONNX files, timed as ours are."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.backends.one_line import first_line, last_line
from stereo_dp_ros.core.errors import BackendError, ModelError
from stereo_dp_ros.core.preprocessing import Preprocessing

__all__ = ["Peer", "load_peers"]

_SIZE_MULTIPLE = 32
_PROVIDERS = {"CPUExecutionProvider": "CPU", "CUDAExecutionProvider": "CUDA"}


@dataclass(frozen=True)
class Peer:
    """A network in a runtime: `infer` takes a uint8 RGB pair and gives its first output.

    It raises BackendError where the network does not take images of that size.
    """

    name: str
    backend: str
    precision: str
    device: str
    infer: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]


def load_peers(path: Path, threads: int) -> Iterator[Peer]:
    """The network in every runtime here that takes it: OpenVINO in fp32 and bf16, ONNX Runtime on CPU and CUDA.

    The graph has two image inputs, float32 (1, 3, H, W), the left one first; what normalisation it expects does not
    matter for time. Images are padded to multiples of 32 as ours are, and copied in from uint8 as ours are.

    Raises
    ------
    ModelError
        The file cannot be read, or has not two such inputs.
    """
    if path.suffix != ".onnx":
        raise ModelError(f"{path}: expected an ONNX file (.onnx)")
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file")
    if importlib.util.find_spec("openvino") is not None:
        yield from _in_openvino(path, threads)
    if importlib.util.find_spec("onnxruntime") is not None:
        yield from _in_onnxruntime(path, threads)


def _in_openvino(path: Path, threads: int) -> Iterator[Peer]:
    import openvino as ov
    from openvino import properties

    from stereo_dp_ros.backends.openvino_backend import image_network, shared_core

    core = shared_core()
    try:
        network = core.read_model(path)
    except RuntimeError as error:
        raise ModelError(f"{path}: OpenVINO cannot read it ({last_line(error)})") from error
    _require_images(path, [(port.any_name, port.partial_shape.rank.get_length()) for port in network.inputs])
    names = [port.any_name for port in network.inputs]
    images = image_network(network)
    types = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16}
    has_bf16 = "BF16" in core.get_property("CPU", properties.device.capabilities())
    for precision in ("fp32", "bf16") if has_bf16 else ("fp32",):
        requests: dict[tuple[int, ...], Any] = {}

        def infer(
            left: NDArray[np.uint8],
            right: NDArray[np.uint8],
            precision: str = precision,
            requests: dict[tuple[int, ...], Any] = requests,
        ) -> NDArray[np.float32]:
            left, right = _padded(left), _padded(right)
            try:
                if left.shape not in requests:
                    sized = images.clone()
                    sized.reshape(dict.fromkeys(names, [1, *left.shape]))
                    config = {
                        properties.hint.inference_precision(): types[precision],
                        properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY,
                        properties.inference_num_threads(): threads,
                    }
                    requests[left.shape] = core.compile_model(sized, "CPU", config).create_infer_request()
                feeds = dict(zip(names, (left[None], right[None]), strict=True))
                return np.asarray(requests[left.shape].infer(feeds, share_inputs=True)[0]).copy()
            except RuntimeError as error:
                raise BackendError(f"openvino failed ({last_line(error)})") from error

        yield Peer(path.stem, "openvino", precision, "CPU", infer)


def _in_onnxruntime(path: Path, threads: int) -> Iterator[Peer]:
    import onnxruntime as ort

    for provider, device in _PROVIDERS.items():
        if provider not in ort.get_available_providers():
            continue
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        try:
            session = ort.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # its errors share no base class but Exception
            raise ModelError(f"{path}: ONNX Runtime cannot read it ({first_line(error)})") from error
        if provider not in session.get_providers():
            continue
        inputs = session.get_inputs()
        _require_images(path, [(port.name, len(port.shape)) for port in inputs])
        names = [port.name for port in inputs]

        def infer(
            left: NDArray[np.uint8],
            right: NDArray[np.uint8],
            session: Any = session,
            names: list[str] = names,
        ) -> NDArray[np.float32]:
            planar = (np.ascontiguousarray(_padded(x).transpose(2, 0, 1)[None], np.float32) for x in (left, right))
            try:
                return np.asarray(session.run(None, dict(zip(names, planar, strict=True)))[0])
            except Exception as error:  # its errors share no base class but Exception
                raise BackendError(f"onnxruntime failed ({first_line(error)})") from error

        yield Peer(path.stem, "onnxruntime", "fp32", device, infer)


def _require_images(path: Path, inputs: list[tuple[str, int]]) -> None:
    if len(inputs) != 2 or any(rank != 4 for _, rank in inputs):
        found = ", ".join(f"{name} of {rank} dimensions" for name, rank in inputs) or "none"
        raise ModelError(f"{path}: its inputs are {found}, expected two images (1, 3, H, W)")


def _padded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return Preprocessing.plan((image.shape[1], image.shape[0]), _SIZE_MULTIPLE).apply(image)
