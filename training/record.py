"""What made a checkpoint or a model: command, commit, device, versions."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from stereo_dp_ros.core.models import load_model

__all__ = ["model_record", "run_record"]


def run_record(device: str) -> dict[str, str]:
    """`command`, `commit` ("unknown" outside a git checkout, "+" for uncommitted changes), `device`, `torch`."""
    return {
        "command": " ".join(["python", "-m", "training." + Path(sys.argv[0]).stem, *sys.argv[1:]]),
        "commit": _commit(),
        "device": f"{_processor()}, {torch.get_num_threads()} threads" if device == "cpu" else device,
        "torch": str(torch.__version__),
    }


def model_record(name: str) -> dict[str, Any]:
    """What made a model: its `name`, its weights' `sha256` and its manifest's `training` less the network's tables."""
    manifest = load_model(name).manifest
    (sha256,) = (digest for file, digest in manifest.files.items() if file.endswith(".safetensors"))
    training = dict(manifest.training)
    if "config" in training:
        training["config"] = {key: value for key, value in training["config"].items() if key != "network"}
    return {"name": manifest.name, "sha256": sha256, "training": training}


def _commit() -> str:
    root = Path(__file__).resolve().parent.parent
    sources = ("training", "stereo_dp_ros/networks")
    try:
        revision = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *sources)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return revision + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()
