"""Checkpoints: written atomically, read without unpickling, refused if they belong to another run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from training.errors import TrainingError

__all__ = ["differences", "load_checkpoint", "save_checkpoint"]

KEYS = {
    "description",
    "config",
    "model",
    "ema",
    "ema_updates",
    "optimizer",
    "samples",
    "seconds",
    "command",
    "commit",
    "device",
    "torch",
}
OPTIONAL = {"began_with": None}
"""What older checkpoints lack, and what it is then."""

EXPECTED = "expected a checkpoint of training.train"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` beside `path`, then rename, so that a reader never sees half a file."""
    if not _complete(state):
        raise TrainingError(f"checkpoint has the keys {sorted(state)}; expected {sorted(KEYS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path, description: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises
    ------
    TrainingError
        If the file cannot be read or lacks keys, or if `description` (see `stereo_dp_ros.networks.describe_network`)
        is given and differs.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); {EXPECTED}") from error
    except Exception as error:  # bytes that are no checkpoint can be any wrong pickle
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(f"{path}: cannot be read ({reason}); {EXPECTED}") from error
    if not isinstance(state, dict) or not _complete(state):
        found = (
            f"has the keys {sorted(map(str, state))}" if isinstance(state, dict) else f"holds a {type(state).__name__}"
        )
        raise TrainingError(f"{path}: {found}; {EXPECTED}, with {sorted(KEYS)}")
    if description is not None and state["description"] != description:
        raise TrainingError(f"{path}: of another network: {'; '.join(differences(state['description'], description))}")
    return {**OPTIONAL, **state}


def _complete(state: dict[str, Any]) -> bool:
    return KEYS <= set(state) <= KEYS | set(OPTIONAL)


def differences(found: dict[str, Any], expected: dict[str, Any], where: str = "") -> list[str]:
    """Fields in which two nested mappings differ, one text each."""
    lines: list[str] = []
    for key in sorted({*found, *expected}):
        a, b = found.get(key), expected.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{where}{key}.")
        elif a != b:
            lines.append(f"{where}{key} is {a!r}, expected {b!r}")
    return lines
