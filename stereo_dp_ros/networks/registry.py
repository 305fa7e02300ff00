"""Networks by name: from a description (type, config, channel table) to a module, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.networks.base import StereoNetwork
from stereo_dp_ros.networks.channels import apply_channel_table, channel_table
from stereo_dp_ros.networks.corr import CorrConfig, CorrNetwork
from stereo_dp_ros.networks.dtpnet import DtpConfig, DtpNetwork
from stereo_dp_ros.networks.psmnet import PsmConfig, PsmNetwork

__all__ = ["build_network", "describe_network", "load_network", "save_weights"]

NETWORKS: dict[str, tuple[type[Any], type[StereoNetwork]]] = {
    "corr": (CorrConfig, CorrNetwork),
    "dtpnet": (DtpConfig, DtpNetwork),
    "psmnet": (PsmConfig, PsmNetwork),
}


_KEYS = ("type", "config", "channels", "calibration")


def build_network(description: Mapping[str, Any]) -> StereoNetwork:
    """Build a network, freshly initialised, in training mode.

    Parameters
    ----------
    description
        `type` (one of `NETWORKS`), `config` (fields of its config; left out = default), `channels` (optional:
        [in, out] by layer name, for a pruned network) and `calibration` (optional: of its confidence).

    Raises
    ------
    ModelError
        On an unknown type, key or field; the message lists what there is.
    """
    unknown = sorted(set(description) - set(_KEYS))
    if unknown:
        raise ModelError(f"network description has unknown keys: {', '.join(unknown)}; there are: {', '.join(_KEYS)}")
    kind = description.get("type")
    if kind not in NETWORKS:
        raise ModelError(f"unknown network type {kind!r}; there are: {', '.join(sorted(NETWORKS))}")
    config_class, network_class = NETWORKS[kind]
    fields = {f.name for f in dataclasses.fields(config_class)}
    given = dict(description.get("config", {}))
    wrong = sorted(set(given) - fields)
    if wrong:
        raise ModelError(
            f"unknown fields for network {kind!r}: {', '.join(wrong)}; there are: {', '.join(sorted(fields))}"
        )
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    _require_types(kind, config_class(), values)
    config = config_class(**values)
    network: StereoNetwork = network_class(config)
    apply_channel_table(network, description.get("channels", {}))
    if "calibration" in description:
        slope, offset = description["calibration"]
        network.calibration = (float(slope), float(offset))
    return network


def _require_types(kind: str, defaults: Any, values: Mapping[str, Any]) -> None:
    """A ModelError unless each value has the type of the field's default, and its length where that is a tuple."""
    wrong = []
    for name, value in values.items():
        default = getattr(defaults, name)
        fits = type(value) is type(default)
        expected = type(default).__name__
        if isinstance(default, tuple):
            fits = fits and len(value) == len(default) and all(type(v) is type(default[0]) for v in value)
            expected = f"{len(default)} of {type(default[0]).__name__}"
        if not fits:
            wrong.append(f"{name} is {value!r}, expected {expected}")
    if wrong:
        raise ModelError(f"network {kind}: {'; '.join(wrong)}")


def describe_network(network: StereoNetwork) -> dict[str, Any]:
    """Description (JSON types only) from which `build_network` makes a network of the same shapes."""
    for kind, (_, network_class) in NETWORKS.items():
        if type(network) is network_class:
            config = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(network.config).items()}
            unpruned = channel_table(network_class(network.config))
            channels = {name: c for name, c in channel_table(network).items() if unpruned.get(name) != c}
            described: dict[str, Any] = {"type": kind, "config": config, "channels": channels}
            return described | ({"calibration": list(network.calibration)} if network.calibration else {})
    raise ModelError(f"{type(network).__name__} is none of the networks: {', '.join(sorted(NETWORKS))}")


def save_weights(network: StereoNetwork, path: Path) -> None:
    """Write parameters and persistent buffers as safetensors."""
    path.write_bytes(save({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}))


def load_network(description: Mapping[str, Any], weights: Path) -> StereoNetwork:
    """Build a network and load its safetensors strictly; returned in evaluation mode.

    Raises
    ------
    ModelError
        On a wrong description, or a file that cannot be read or holds the weights of another network.
    """
    network = build_network(description)
    try:
        network.load_state_dict(load_file(weights), strict=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        said = " ".join(str(error).split())
        raise ModelError(f"{weights}: cannot be loaded ({said}), expected weights of the described network") from error
    return network.eval()
