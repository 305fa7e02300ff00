"""What an export begins with: the network of a checkpoint or a model, or the mean of several, and what made it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stereo_dp_ros.core.models import load_model
from stereo_dp_ros.networks import StereoNetwork, describe_network, load_network
from training.checkpoint import differences
from training.errors import TrainingError
from training.evaluate import network_from_checkpoint

__all__ = ["averaged"]


def averaged(sources: Sequence[str | Path]) -> tuple[StereoNetwork, dict[str, Any]]:
    """The mean of the sources' weights, and the first one's `training` of a manifest, the others' in `averaged_with`.

    Points of one training, or of several that go on from one point, lie in one basin of the loss, where the mean of the
    weights is often better on images of another kind than each of them (model soups, Wortsman et al., ICML 2022).

    Parameters
    ----------
    sources
        Checkpoints (their averaged weights), names or manifests of models; one is taken as it is.

    Raises
    ------
    TrainingError
        Their networks differ in more than the calibration of the confidence, which is then the first one's.
    """
    (network, record), *others = (_network_and_record(source) for source in sources)
    for source, (other, _) in zip(sources[1:], others, strict=True):
        if different := differences(_shape(other), _shape(network)):
            more = f" and {len(different) - 1} more" if len(different) > 1 else ""
            raise TrainingError(f"{source}: is another network than {sources[0]}: {different[0]}{more}")
    if others:
        states = [one.state_dict() for one in (network, *(other for other, _ in others))]
        network.load_state_dict({name: _mean([state[name] for state in states]) for name in states[0]})
        record |= {"averaged_with": [of_other for _, of_other in others]}
    return network, record


def _mean(values: list[torch.Tensor]) -> torch.Tensor:
    if not values[0].is_floating_point():  # counts of batches, which nothing reads
        return values[0]
    return torch.stack([value.double() for value in values]).mean(dim=0).to(values[0].dtype)


def _shape(network: StereoNetwork) -> dict[str, Any]:
    return {key: value for key, value in describe_network(network).items() if key != "calibration"}


def _network_and_record(source: str | Path) -> tuple[StereoNetwork, dict[str, Any]]:
    if Path(source).suffix not in ("", ".json"):
        network, state = network_from_checkpoint(Path(source))
        return network, _training_record(state)
    model = load_model(source)
    network = load_network(model.manifest.network, model.file_with_suffix(".safetensors"))
    return network.eval(), dict(model.manifest.training)


def _training_record(state: dict[str, Any]) -> dict[str, Any]:
    config = state["config"]
    return {
        "data": config["data"]["source"],
        "command": state["command"],
        "config": config,
        "commit": state["commit"],
        "steps": state["ema_updates"],
        "samples": state["samples"],
        "seconds": round(state["seconds"]),
        "device": state["device"],
        "date": datetime.date.today().isoformat(),
        **({"began_with": state["began_with"]} if state["began_with"] else {}),
    }
