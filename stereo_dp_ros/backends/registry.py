"""What runtimes there are, on which devices, and whether they can be used here."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from stereo_dp_ros.backends.cuda_driver import find_gpu
from stereo_dp_ros.backends.one_line import first_line
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["AUTO", "BACKENDS", "BackendInfo", "Choice", "backend_status", "choices", "load", "usable_choices"]


@dataclass(frozen=True)
class BackendInfo:
    """A runtime that this package can use.

    Attributes
    ----------
    modules
        What must be importable, module → how to get it.
    devices
        Device → its precisions, in the order in which devices are tried. `cuda` and `tensorrt` need an NVIDIA GPU.
    """

    name: str
    modules: dict[str, str]
    devices: dict[str, tuple[str, ...]]

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that it has on some device."""
        return tuple(dict.fromkeys(p for precisions in self.devices.values() for p in precisions))


@dataclass(frozen=True)
class Choice:
    """A runtime on one device."""

    info: BackendInfo
    device: str

    @property
    def name(self) -> str:
        """How a user asks for it."""
        return self.info.name if len(self.info.devices) == 1 else f"{self.info.name}:{self.device}"

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that the runtime has on this device."""
        return self.info.devices[self.device]


_TENSORRT = BackendInfo(
    "tensorrt", {"tensorrt": "it comes from NVIDIA, see docs/deployment.md"}, {"cuda": ("fp16", "fp32")}
)
_TORCH = BackendInfo(
    "torch",
    {"torch": "pip install torch", "safetensors": "pip install safetensors"},
    {"cuda": ("fp16", "bf16", "fp32"), "cpu": ("fp32", "bf16")},
)
_OPENVINO = BackendInfo("openvino", {"openvino": "pip install openvino"}, {"cpu": ("fp32", "bf16", "int8")})
_ONNXRUNTIME = BackendInfo(
    "onnxruntime",
    {"onnxruntime": "pip install onnxruntime"},
    {"cuda": ("fp32",), "cpu": ("fp32",), "tensorrt": ("fp16", "fp32")},
)

BACKENDS = (_TENSORRT, _TORCH, _OPENVINO, _ONNXRUNTIME)

# What `auto` tries, the fastest first. torch on a CPU is slower than the two others there.
AUTO = (
    Choice(_TENSORRT, "cuda"),
    Choice(_TORCH, "cuda"),
    Choice(_ONNXRUNTIME, "cuda"),
    Choice(_OPENVINO, "cpu"),
    Choice(_ONNXRUNTIME, "cpu"),
)

_GPU_DEVICES = ("cuda", "tensorrt")
# Devices that are taken only when they are named: the provider builds engines at the first pair, for minutes.
_NAMED_ONLY = {("onnxruntime", "tensorrt")}


def choices(name: str) -> list[Choice]:
    """The choices that `name` or `name:device` stands for, in the order to try; BackendError if there are none."""
    runtime, _, device = name.partition(":")
    for info in BACKENDS:
        if info.name != runtime:
            continue
        if not device:
            return [Choice(info, d) for d in info.devices if (runtime, d) not in _NAMED_ONLY]
        if device in info.devices:
            return [Choice(info, device)]
        raise BackendError(f"backend {runtime} has no device {device!r}, expected {', '.join(info.devices)}")
    known = ", ".join(info.name for info in BACKENDS)
    raise BackendError(f"no backend is named {runtime!r}, there are auto, {known}")


def backend_status(info: BackendInfo, device: str | None = None) -> str | None:
    """None if the runtime can be used here, on `device` or on any of its devices, else why not.

    Whether a model can be loaded into it is another question: an engine may be missing, or a model's weights.
    """
    reasons = [_status(info, d) for d in ((device,) if device else info.devices)]
    return None if None in reasons else reasons[0]


def usable_choices() -> list[Choice]:
    """Every runtime on every device that can be used here, but for those that build engines when they run."""
    every = [Choice(info, d) for info in BACKENDS for d in info.devices if (info.name, d) not in _NAMED_ONLY]
    return [choice for choice in every if _status(choice.info, choice.device) is None]


def load(choice: Choice, model: Model, precision: str, threads: int | None) -> Backend:
    """Load the model; BackendError says why it cannot be."""
    reason = _status(choice.info, choice.device)
    if reason is not None:
        raise BackendError(reason)
    if precision not in ("auto", *choice.precisions):
        raise BackendError(f"has no precision {precision} there")
    module = importlib.import_module(f"stereo_dp_ros.backends.{choice.info.name}_backend")
    create: Callable[..., Backend] = module.create
    return create(model, precision=precision, threads=threads, device=choice.device)


def _status(info: BackendInfo, device: str) -> str | None:
    if device in _GPU_DEVICES:
        try:
            find_gpu()
        except BackendError as error:
            return str(error)
    for module, source in info.modules.items():
        if importlib.util.find_spec(module) is None:
            return f"Python module {module} is not installed ({source})"
    try:
        backend = importlib.import_module(f"stereo_dp_ros.backends.{info.name}_backend")
    except (ImportError, OSError) as error:  # a shared library that it needs is missing
        return f"{info.name} cannot be imported ({first_line(error)})"
    unusable: Callable[[str], str | None] = backend.unusable
    return unusable(device)
