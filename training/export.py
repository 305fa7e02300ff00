"""Export a network: ONNX, safetensors and manifest, checked against each other.

`python -m training.export SOURCE ... --name corr_s [--out DIR] [--pairs PAIRS] [--scenes N] [--int8 N]`

SOURCE is a checkpoint, or a model (a shipped one's name, or a manifest's path) to export anew, with the record of its
training. Of several, which must have one beginning in common to make sense, the mean of their weights is exported.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.evaluation import score_pairs, set_rows
from stereo_dp_ros.core.metrics import METRIC_NAMES
from stereo_dp_ros.core.models import INT8_SUFFIX, MODELS_DIR, Manifest, Model
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from stereo_dp_ros.networks import StereoNetwork, build_network, describe_network, save_weights
from training.calibration import RIGHT_WITHIN_PX, calibration_error, fit_calibration, sampled
from training.command import Parser, above_0, at_least_0
from training.errors import TrainingError
from training.evaluate import TorchBackend
from training.export_source import averaged
from training.onnx_export import PARITY_PX, export_onnx, onnx_difference_px
from training.quantize import quantize_onnx
from training.validation import validation_pairs

__all__ = ["count_macs", "export_model", "measure", "with_range"]

INPUT = {
    "names": ["left", "right"],
    "layout": "NCHW",
    "range": [0, 255],
    "normalisation": "inside the graph",
    "colour": "RGB",
}
OUTPUTS = {
    "disparity": "(N, 1, H, W) px of the input, left view",
    "confidence": "(N, 1, H, W) in 0..1; where calibrated, the probability of an error of at most 2 px",
}


def count_macs(network: StereoNetwork, width_px: int = 640, height_px: int = 480) -> int:
    """Multiply-accumulates of convolutions and matrix products for one pair."""
    image = torch.zeros(1, 3, height_px, width_px, device=next(network.parameters()).device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval()(image, image)
    return counter.get_total_flops() // 2


def measure(manifest_path: Path, pairs: Sequence[PairFolder], backend: str = "auto") -> dict[str, Any]:
    """Metrics by set, of the exported file in a runtime, and how they were measured."""
    estimator = load_estimator(manifest_path, backend)
    rows = set_rows(score_pairs(estimator.infer, pairs))
    figures = {row["name"]: {"scenes": row["scenes"], **{m: round(row[m], 3) for m in METRIC_NAMES}} for row in rows}
    runtime, manifest = estimator.backend, estimator.model.manifest
    size = f"images scaled by {manifest.scale:g}, small ones to {manifest.min_area_px} px"
    how = (
        f"{runtime.name} {runtime.precision}, {size}; per image over every pixel with ground truth,"
        " occluded ones included, then the mean of the set; epe in px, the rest in percent; real pairs zero-shot,"
        " procedural: validation scenes of the generator"
    )
    return {**figures, "measured": how}


def export_model(
    sources: str | Path | Sequence[str | Path],
    name: str,
    out: Path,
    pairs: Sequence[PairFolder] = (),
    *,
    scale: float = 1.0,
    min_area_px: int = 0,
    max_disparity_px: int = 0,
    calibrate_on: Sequence[PairFolder] = (),
    quantize_on: Sequence[PairFolder] = (),
) -> Path:
    """Write NAME.onnx, NAME.safetensors and NAME.json into `out`; returns the manifest's path.

    `sources` is a checkpoint or a model, or several of one network, whose mean is exported (see `averaged`).
    `scale` and `min_area_px` are what the manifest will say, when measured here as in use. With `max_disparity_px` the
    network searches another range than it was trained with (see `with_range`). On the pairs of `calibrate_on`, other
    ones than `pairs`, the confidence is calibrated; with those of `quantize_on` NAME.int8.onnx is written too (see
    `quantize_onnx`).

    Raises
    ------
    TrainingError
        If ONNX Runtime's disparity differs from torch's by more than `PARITY_PX`, or the network's weights are not
        shared by all disparities but another range is asked for.
    """
    network, record = averaged([sources] if isinstance(sources, str | Path) else sources)
    if max_disparity_px:
        network = with_range(network, max_disparity_px)
    size: dict[str, Any] = {"scale": scale, "min_area_px": min_area_px}
    if calibrate_on:
        network.calibration = None
        infer = _in_torch(network, size).infer
        network.calibration = fit_calibration(*sampled(infer, calibrate_on))
    out.mkdir(parents=True, exist_ok=True)
    suffixes = [".onnx", ".safetensors", *([INT8_SUFFIX] if quantize_on else [])]
    files = {suffix: out / f"{name}{suffix}" for suffix in suffixes}
    with tempfile.TemporaryDirectory(dir=out) as folder:  # a model of that name stays whole until this one is
        made = {suffix: Path(folder) / path.name for suffix, path in files.items()}
        export_onnx(network, made[".onnx"])
        save_weights(network, made[".safetensors"])
        difference = onnx_difference_px(network, made[".onnx"])
        if difference > PARITY_PX:
            raise TrainingError(f"{name}.onnx differs from torch by {difference:.4f} px; expected at most {PARITY_PX}")
        if quantize_on:
            quantize_onnx(made[".onnx"], made[INT8_SUFFIX], quantize_on, _in_use(network, size))
        for suffix, path in files.items():
            os.replace(made[suffix], path)
    if not quantize_on:
        (out / f"{name}{INT8_SUFFIX}").unlink(missing_ok=True)  # of the weights that were there
    manifest = {
        "name": name,
        "network": describe_network(network),
        "input": INPUT,
        "outputs": OUTPUTS,
        "size_multiple": network.size_multiple,
        "max_disparity_px": network.max_disparity_px,
        "precision": "fp32",
        **size,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files.values()},
        "training": record,
        "metrics": {},
        "parameters": sum(p.numel() for p in network.parameters()),
        "macs_640x480": count_macs(network, *_in_use(network, size).plan((640, 480)).padded_size),
    }
    path = out / f"{name}.json"
    _write(path, manifest)
    if pairs:
        _write(path, {**manifest, "metrics": measure(path, pairs) | _calibration_record(network, size, pairs)})
    return path


def _in_torch(network: StereoNetwork, size: dict[str, Any]) -> StereoEstimator:
    return StereoEstimator(Model(_in_use(network, size), Path()), TorchBackend(network))


def _in_use(network: StereoNetwork, size: dict[str, Any]) -> Manifest:
    return Manifest("network", network.size_multiple, network.max_disparity_px, {}, **size)


def _calibration_record(network: StereoNetwork, size: dict[str, Any], pairs: Sequence[PairFolder]) -> dict[str, Any]:
    """How far confidence is from the share of right pixels, by set, with and without the calibration."""
    if network.calibration is None:
        return {}
    plain = build_network({k: v for k, v in describe_network(network).items() if k != "calibration"})
    plain.load_state_dict(network.state_dict())
    record = {}
    for name in dict.fromkeys(pair.set_name for pair in pairs):
        of_set = [pair for pair in pairs if pair.set_name == name]
        before, after = (calibration_error(*sampled(_in_torch(n, size).infer, of_set)) for n in (plain, network))
        record[name] = {"uncalibrated": round(before, 3), "calibrated": round(after, 3)}
    return {"calibration_error": record, "right": f"within {RIGHT_WITHIN_PX:g} px"}


def with_range(network: StereoNetwork, max_disparity_px: int) -> StereoNetwork:
    """The same weights searching another range of disparities, where all disparities share the weights.

    Raises
    ------
    TrainingError
        If the weights belong to the range.
    """
    description = describe_network(network)
    description["config"]["max_disparity_px"] = max_disparity_px
    other = build_network(description)
    try:
        other.load_state_dict(network.state_dict())
    except RuntimeError as error:
        kind = description["type"]
        raise TrainingError(f"{kind} learns each disparity's weights; its range cannot be changed") from error
    return other.eval()


def _write(path: Path, manifest: dict[str, Any]) -> None:
    path.write_text(json.dumps(manifest, indent=1) + "\n")


def main(values: list[str] | None = None) -> int:
    """Command line; 2 and one line on stderr for bad input."""
    parser = Parser("export", __doc__)
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="checkpoint; name or manifest of a model; several: their mean"
    )
    parser.add_argument("--name", required=True, help="name of the model and of its files")
    parser.add_argument("--out", type=Path, default=MODELS_DIR, help="folder (default: the package's models)")
    parser.add_argument("--pairs", type=Path, help="folder of pairs to measure on, for the manifest's metrics")
    parser.add_argument(
        "--scenes", type=at_least_0, default=0, help="validation scenes to measure on as well (%(default)s)"
    )
    parser.add_argument("--scale", type=above_0, default=1.0, help="of images before the network (%(default)s)")
    parser.add_argument("--min-area", type=at_least_0, default=0, help="px that it sees at least (%(default)s)")
    parser.add_argument(
        "--calibrate",
        type=at_least_0,
        default=16,
        metavar="N",
        help="other validation scenes, to calibrate on (%(default)s)",
    )
    parser.add_argument(
        "--int8",
        type=at_least_0,
        default=0,
        metavar="N",
        help="a file with 8-bit convolutions too, their ranges from N other validation scenes (%(default)s: none)",
    )
    parser.add_argument("--max-disparity", type=at_least_0, default=0, metavar="PX", help="range (default: as trained)")
    arguments = parser.parse_args(values)
    try:
        scenes = validation_pairs(arguments.scenes + arguments.calibrate + arguments.int8)
        others = scenes[arguments.scenes :]
        pairs = [*scenes[: arguments.scenes], *(find_pairs(arguments.pairs) if arguments.pairs else [])]
        path = export_model(
            arguments.sources,
            arguments.name,
            arguments.out,
            pairs,
            scale=arguments.scale,
            min_area_px=arguments.min_area,
            max_disparity_px=arguments.max_disparity,
            calibrate_on=others[: arguments.calibrate],
            quantize_on=others[arguments.calibrate :],
        )
    except StereoDpError as error:
        print(f"training.export: {error}", file=sys.stderr)
        return 2
    print(path.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
