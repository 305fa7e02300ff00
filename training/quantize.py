"""An exported network in 8 bits: its convolutions but the first and the last ones, calibrated on pairs."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from stereo_dp_ros.core.models import Manifest
from stereo_dp_ros.core.pairs import PairFolder
from training.errors import TrainingError

__all__ = ["end_convolutions", "quantize_onnx"]

# Arithmetic that NNCF would take too. Disparities in 8 bits are steps of 0.7 px, and what picks a distribution's mode
# multiplies differences of probabilities by thousands; between convolutions 8 bits were no faster.
_KEPT = ("Add", "Sub", "Mul", "Div", "MatMul", "Neg", "Reciprocal", "Sqrt", "ReduceMax", "ReduceSum", "Clip")


def quantize_onnx(source: Path, out: Path, pairs: Iterable[PairFolder], manifest: Manifest) -> None:
    """Write the network of `source` with 8-bit convolutions: `QuantizeLinear`/`DequantizeLinear` around them.

    Weights are symmetric, of each output channel its own step, activations as NNCF's mixed preset has them; after it
    biases take up the mean error that rounding makes (NNCF, post-training quantization). In floating point stay the
    convolutions of `end_convolutions` and everything else.

    Parameters
    ----------
    pairs
        Images whose activations give the ranges; ground truth is not looked at.
    manifest
        How images are fitted to the network.

    Raises
    ------
    TrainingError
        NNCF is not installed.
    """
    try:
        import nncf
    except ImportError as error:
        raise TrainingError(f"8 bits need NNCF ({error}); expected pip install -r requirements/test.txt") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = onnx.load(source)
    there = {node.op_type for node in model.graph.node}
    kept = nncf.IgnoredScope(names=sorted(end_convolutions(model.graph)), types=sorted(there & set(_KEPT)))
    inputs = list(_inputs(pairs, manifest))
    with contextlib.redirect_stdout(sys.stderr):  # NNCF's progress; what a command prints is its result
        quantized = nncf.quantize(
            model,
            nncf.Dataset(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(inputs),
            ignored_scope=kept,
        )
    del quantized.metadata_props[:]
    quantized.ir_version = model.ir_version
    onnx.checker.check_model(quantized, full_check=True)
    onnx.save(quantized, out)


def end_convolutions(graph: onnx.GraphProto) -> set[str]:
    """Names of the convolutions that see the images, or whose results come to an output without another one between."""
    makers = {name: [node] for node in graph.node for name in node.output}
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    last = _convolutions_reached([value.name for value in graph.output], makers, "input")
    return last | _convolutions_reached([value.name for value in graph.input], takers, "output")


def _convolutions_reached(names: list[str], nodes: dict[str, list[onnx.NodeProto]], beyond: str) -> set[str]:
    """The first convolutions on every way from tensors, by the nodes of each and those nodes' tensors `beyond`."""
    found: set[str] = set()
    seen: set[str] = set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in nodes.get(name, []):
            if node.op_type == "Conv":
                found.add(node.name)
            elif node.op_type != "Shape":  # sizes go everywhere, values do not
                names.extend(getattr(node, beyond))
    return found


def _inputs(pairs: Iterable[PairFolder], manifest: Manifest) -> Iterator[dict[str, NDArray[np.float32]]]:
    for pair in pairs:
        left, right = pair.images()
        plan = manifest.plan((left.shape[1], left.shape[0]))
        both = {"left": plan.apply(left), "right": plan.apply(right)}
        yield {name: image.transpose(2, 0, 1)[None].astype(np.float32) for name, image in both.items()}
