"""`stereo-dp build-engine`: build a TensorRT engine on this machine, and check it before it is used."""

from __future__ import annotations

import argparse
import json

from stereo_dp_ros.backends.engine_build import CONVERTERS, build_engine
from stereo_dp_ros.backends.engine_gate import TOLERANCES
from stereo_dp_ros.cli.options import size
from stereo_dp_ros.core.models import load_model

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--model", default="default", help="a shipped model, or the path of a manifest (.json)")
    parser.add_argument("--precision", choices=tuple(TOLERANCES), default="fp16", help="default: %(default)s")
    parser.add_argument("--converter", choices=tuple(CONVERTERS), default="onnx", help="default: %(default)s")
    parser.add_argument(
        "--size",
        type=size,
        metavar="WxH",
        default=(640, 480),
        help="the camera's images (default: 640x480)",
    )
    parser.add_argument(
        "--inference-size",
        type=size,
        metavar="WxH",
        help="the network's working size (default: as the node chooses it)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    model = load_model(arguments.model)
    plan = model.manifest.plan(arguments.size, arguments.inference_size)
    built = build_engine(model, plan.padded_size, precision=arguments.precision, converter=arguments.converter)
    if arguments.json:
        report = {"engine": str(built.path), "built": built.built, "replaced": built.replaced}
        print(json.dumps({**report, "converter": built.record.converter, "figures": dict(built.record.figures)}))
        return 0
    if built.replaced:
        print(f"built again: {built.replaced}")
    figures = built.record.figures
    print(
        f"{built.path}: {'built' if built.built else 'was there already'}; differs from ONNX Runtime on the CPU by "
        f"{figures['mean_px']:.4f} px in the mean, {figures['far_percent']:.3f} % of pixels by more than 1 px"
    )
    return 0
