"""A student with random weights, with all the files of a trained one."""

import hashlib
import json

import torch

from stereo_dp_ros.networks import build_network, describe_network, save_weights
from training.export import export_onnx


def write_random_student(folder, kind):
    """Write ONNX, weights and manifest; returns the manifest's path."""
    torch.manual_seed(0)
    network = build_network({"type": kind}).eval()
    export_onnx(network, folder / f"{kind}.onnx")
    save_weights(network, folder / f"{kind}.safetensors")
    names = [f"{kind}.{suffix}" for suffix in ("onnx", "safetensors")]
    manifest = {
        "name": kind,
        "size_multiple": network.size_multiple,
        "max_disparity_px": network.max_disparity_px,
        "network": describe_network(network),
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    path = folder / f"{kind}.json"
    path.write_text(json.dumps(manifest))
    return path
