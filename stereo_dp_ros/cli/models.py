"""`stereo-dp models`: what can be run here."""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import asdict
from typing import Any

from stereo_dp_ros.backends import BACKENDS, backend_status
from stereo_dp_ros.backends.engine_cache import EngineCache
from stereo_dp_ros.backends.registry import AUTO, Choice
from stereo_dp_ros.cli.options import size
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import DEFAULT_MODEL, list_models, load_model

__all__ = ["add_arguments", "run"]

_BYTES = {
    "weight_bytes": "of weights",
    "pair_bytes": "of images in and maps out",
    "product_bytes": "through convolutions and matrix products, all between them fused",
    "operator_bytes": "through all operators, nothing fused",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--backends", action="store_true", help="list the runtimes instead")
    instead.add_argument(
        "--workload",
        type=size,
        metavar="WxH",
        help="count each model's operations and bytes for a pair of this size instead (needs torch)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.workload:
        _print_workloads(arguments.workload, as_json=arguments.json)
        return 0
    rows = _backend_rows() if arguments.backends else _model_rows()
    if arguments.json:
        print(json.dumps(rows, indent=1))
    elif arguments.backends:
        for row in rows:
            print(f"{row['name']:21} {' '.join(row['precisions']):16} {_state(row)}")
        for line in _engine_lines():
            print(line)
    else:
        for row in rows:
            _print_model(row)
    return 0


def _print_workloads(image_size: tuple[int, int], *, as_json: bool) -> None:
    try:
        workload = importlib.import_module("stereo_dp_ros.backends.workload")
        torch_backend = importlib.import_module("stereo_dp_ros.backends.torch_backend")
    except ImportError:
        raise BackendError("counting operations needs torch and safetensors (pip install torch safetensors)") from None
    rows = {}
    for name in list_models():
        model = load_model(name)
        size = model.manifest.plan(image_size).padded_size
        counted = workload.count_workload(torch_backend.load_weights(model), size)
        rows[name] = {"network_size": f"{size[0]}x{size[1]}", **asdict(counted)}
    given = f"{image_size[0]}x{image_size[1]}"
    if as_json:
        print(json.dumps({"size": given, "models": rows}, indent=1))
        return
    for name, row in rows.items():
        print(f"{name}: {row['macs'] / 1e9:.2f} GMAC for a pair of {given}, which it sees at {row['network_size']}")
        for kind, what in _BYTES.items():
            print(f"  {row[kind] / 1e6:8.2f} MB {what}")
    print("bytes as if every number in the network had two")


def _backend_rows() -> list[dict[str, Any]]:
    """One row for each runtime and device: those that auto tries in its order, then those to be asked for."""
    every = [Choice(info, device) for info in BACKENDS for device in info.devices]
    rows = []
    for choice in [*AUTO, *(choice for choice in every if choice not in AUTO)]:
        rows.append(
            {
                "name": choice.name,
                "device": choice.device,
                "precisions": list(choice.precisions),
                "auto": AUTO.index(choice) + 1 if choice in AUTO else None,
                "reason": backend_status(choice.info, choice.device),
            }
        )
    return rows


def _state(row: dict[str, Any]) -> str:
    if row["reason"] is not None:
        return str(row["reason"])
    return "works" if row["auto"] else "works, when asked for"


def _engine_lines() -> list[str]:
    cache = EngineCache()
    keys = [record.key for record in cache.records()]
    lines = [
        f"  {key.model} {key.width_px}x{key.height_px} {key.precision}, TensorRT {key.tensorrt}, {key.gpu}"
        for key in keys
    ]
    return [f"engines in {cache.folder}:", *lines] if lines else []


def _model_rows() -> list[dict[str, Any]]:
    rows = []
    for name in list_models():
        manifest = load_model(name).manifest
        rows.append(
            {
                "name": name,
                "default": name == DEFAULT_MODEL,
                "parameters": manifest.parameters,
                "macs_640x480": manifest.macs_640x480,
                "max_disparity_px": manifest.max_disparity_px,
                "training": dict(manifest.training),
                "metrics": dict(manifest.metrics),
            }
        )
    return rows


def _print_model(row: dict[str, Any]) -> None:
    size = f"{row['parameters'] / 1e6:.2f} M parameters, {row['macs_640x480'] / 1e9:.1f} GMAC at 640x480"
    name = f"{row['name']} (default)" if row["default"] else row["name"]
    print(f"{name}: {size}, up to {row['max_disparity_px']:g} px")
    training = row["training"]
    if training:
        words = str(training.get("command", "")).split()
        begun = f", its last run, from {words[words.index('--init') + 1]} as it was then" if "--init" in words else ""
        begun = ", its last run" if "training.pipeline" in words else begun
        print(
            f"  trained on {training.get('data')}{begun}: {training.get('samples')} samples, "
            f"{training.get('seconds')} s on {training.get('device')}, {training.get('date')}"
        )
    for name, figures in row["metrics"].items():
        if isinstance(figures, dict) and "bad_2" in figures:
            print(f"  {name}: bad-2.0 {figures['bad_2']:.1f} %, EPE {figures['epe']:.2f} px")
