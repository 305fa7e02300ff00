"""Students with random weights, as they are built and as pruning leaves them, with all the files of a trained one."""

import hashlib
import json

import numpy as np
import torch

from stereo_dp_ros.core.timing import textured_pair
from stereo_dp_ros.networks import build_network, describe_network, save_weights
from training.onnx_export import export_onnx
from training.prune import PruneConfig, prune_step


def random_student(kind, *, pruned=False):
    """A student; `pruned` leaves 70 % of the channels, in numbers that no vector unit likes (23, 11, …)."""
    torch.manual_seed(0)
    network = build_network({"type": kind})
    if pruned:
        prune_step(network, 1, PruneConfig(steps=1, fraction=0.3))
    pairs = [textured_pair((128, 64), seed=seed) for seed in range(2)]
    left, right = (
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() for images in zip(*pairs, strict=True)
    )
    for layer in network.modules():  # without statistics of its own input the signal dies out on the way to the answer
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()(left, right)
    return network.eval()


def write_random_student(folder, kind):
    """Write a pruned student's ONNX, weights and manifest; returns the manifest's path."""
    network = random_student(kind, pruned=True)
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
