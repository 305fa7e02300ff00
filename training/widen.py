"""A network's weights in a wider one of its kind that computes the same (after Net2Net, Chen et al., ICLR 2016).

Unlike there no channel is copied: the new ones begin as any network does, but what reads them weighs them by zero, so
that they take part only as far as training finds a use for them.
"""

from __future__ import annotations

from torch import Tensor

from stereo_dp_ros.networks import StereoNetwork, build_network, describe_network
from training.errors import TrainingError

__all__ = ["WIDENED_FIELDS", "widened"]

WIDENED_FIELDS = {"corr": ("stem_channels", "feature_channels", "volume_channels")}
"""By network type, the fields of its config that may grow: whose channels are neither counted off nor compared."""

NEW_NORM = 0.5
"""Norm of a new channel's incoming weights, relative to the mean of the old ones'. A batch norm follows, so it changes
no value; but pruning goes by norms, and a channel that has learnt nothing should be the first to go."""


def widened(network: StereoNetwork, wanted: dict[str, object]) -> StereoNetwork:
    """A new network of description `wanted` that gives the same answers in evaluation mode.

    Parameters
    ----------
    network
        Not pruned.
    wanted
        A description of the same type, at least as wide in each of `WIDENED_FIELDS` and the same in all other fields.

    Raises
    ------
    TrainingError
        If it is not such a description, or the network is pruned.
    """
    wide = build_network(wanted)
    _require_wider(describe_network(network), describe_network(wide))
    old, new = network.state_dict(), wide.state_dict()
    for name, values in new.items():
        if values.ndim > 1:
            _place(values, old[name])
        elif values.ndim == 1:  # biases and batch norms: of new channels as in a new network
            values[: len(old[name])] = old[name]
    return wide.eval()


def _place(weight: Tensor, old: Tensor) -> None:
    """Old weights first; old outputs do not read new inputs; new outputs have norms in proportion to the old ones."""
    c_out, c_in = old.shape[:2]
    if c_out < len(weight):
        norms = weight[c_out:].flatten(1).norm(dim=1)
        weight[c_out:] *= NEW_NORM * old.flatten(1).norm(dim=1).mean() / norms.mean()
    weight[:c_out, c_in:] = 0.0
    weight[:c_out, :c_in] = old


def _require_wider(old: dict[str, object], new: dict[str, object]) -> None:
    if old["type"] not in WIDENED_FIELDS or old["type"] != new["type"]:
        kinds = ", ".join(sorted(WIDENED_FIELDS))
        raise TrainingError(f"cannot widen {old['type']} to {new['type']}; expected the same type, one of {kinds}")
    if old["channels"] or new["channels"]:
        raise TrainingError("cannot widen a pruned network, or to one; expected networks without a channel table")
    before, after = old["config"], new["config"]
    assert isinstance(before, dict) and isinstance(after, dict)
    for field, value in before.items():
        grows = field in WIDENED_FIELDS[str(old["type"])]
        pairs = zip(_values(value), _values(after[field]), strict=True)
        if not all(a <= b if grows else a == b for a, b in pairs):
            growing = ", ".join(WIDENED_FIELDS[str(old["type"])])
            expected = f"at least {value}" if grows else f"{value}, as only {growing} may grow"
            raise TrainingError(f"cannot widen: {field} is {after[field]}; expected {expected}")


def _values(value: object) -> list[int]:
    return list(value) if isinstance(value, list) else [value]  # type: ignore[list-item]
