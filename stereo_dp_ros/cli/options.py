"""Options that several commands share."""

from __future__ import annotations

import argparse

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.estimator import StereoEstimator

__all__ = [
    "add_model_options",
    "estimator_from",
    "given_model_options",
    "positive_float",
    "positive_int",
    "size",
    "thread_count",
]

_MOST_PX = 1 << 24  # more than 4K images have
_MOST_THREADS = 256  # as the node's parameter
_MODEL_DEFAULTS = {"model": "default", "backend": "auto", "precision": "auto", "threads": None, "inference_size": None}


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add --model, --backend, --precision, --threads and --inference-size."""
    parser.add_argument("--model", help="a shipped model, or the path of a manifest (.json)")
    parser.add_argument(
        "--backend", help="auto, or one that `stereo-dp models --backends` lists (default: %(default)s)"
    )
    parser.add_argument("--precision", help="auto, fp32, bf16, fp16 or int8 (default: %(default)s)")
    parser.add_argument("--threads", type=thread_count, help="CPU threads (default: the runtime's choice)")
    parser.add_argument(
        "--inference-size", type=size, metavar="WxH", help="the network's working size (default: the model's choice)"
    )
    parser.set_defaults(**_MODEL_DEFAULTS)


def given_model_options(arguments: argparse.Namespace) -> list[str]:
    """Those of the shared options that ask for something, such as ``--model``."""
    return [
        f"--{name.replace('_', '-')}"
        for name, default in _MODEL_DEFAULTS.items()
        if getattr(arguments, name) != default
    ]


def estimator_from(arguments: argparse.Namespace) -> StereoEstimator:
    """The estimator that the shared options ask for."""
    return load_estimator(
        arguments.model,
        arguments.backend,
        precision=arguments.precision,
        threads=arguments.threads,
        input_size=arguments.inference_size,
    )


def positive_float(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number above 0")
    return value


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number of at least 1")
    return int(text)


def thread_count(text: str) -> int:
    """A whole number of threads that a runtime can be asked for."""
    if not text.isdigit() or not 1 <= int(text) <= _MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1 to {_MOST_THREADS}")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """WxH as (width, height) in px, of `_MOST_PX` pixels at most."""
    width, separator, height = text.partition("x")
    if not separator or not width.isdigit() or not height.isdigit() or min(int(width), int(height)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected WIDTHxHEIGHT such as 640x480")
    if int(width) * int(height) > _MOST_PX:
        raise argparse.ArgumentTypeError(f"{text!r}, expected at most {_MOST_PX} px in all")
    return int(width), int(height)
