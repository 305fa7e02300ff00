"""Train a network: `python -m training.train --config training/configs/corr_s.yaml --out runs/corr_s`.

A run goes on where its folder's checkpoint left off. SIGINT, SIGTERM and --max-minutes end it after the step in
progress, with a checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.evaluation import set_rows
from stereo_dp_ros.core.models import load_model
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from stereo_dp_ros.networks import build_network, describe_network, load_network
from training.command import Parser, at_least_1, minutes
from training.config import TrainConfig, load_config
from training.data.dataset import VALIDATION_SEED
from training.errors import TrainingError
from training.evaluate import evaluate_pairs
from training.loader import SceneSource
from training.processes import open_fabric
from training.record import model_record
from training.sources import LaterScenes, build_scenes
from training.trainer import Trainer
from training.widen import widened

__all__ = ["StopRequest", "begun_with", "main", "training_scenes"]


class StopRequest:
    """True once a signal came or the time is up."""

    def __init__(self, max_minutes: float | None) -> None:
        self.deadline = None if max_minutes is None else time.monotonic() + 60.0 * max_minutes
        self.signalled = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.signalled = True

    def __call__(self) -> bool:
        """Whether to end."""
        return self.signalled or (self.deadline is not None and time.monotonic() > self.deadline)


def _arguments() -> argparse.Namespace:
    parser = Parser("train", __doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of a run")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and events")
    parser.add_argument("--save-minutes", type=minutes, default=5.0, help="time between checkpoints (%(default)s)")
    parser.add_argument("--init", help="model (name or manifest) to start from; a checkpoint in --out goes before it")
    parser.add_argument("--widen", action="store_true", help="the config's network is wider than --init's: widen that")
    parser.add_argument("--pairs", type=Path, help="folder of pairs to score at every checkpoint")
    parser.add_argument("--devices", type=at_least_1, default=1, help="processes or GPUs (%(default)s)")
    parser.add_run_options()
    return parser.parse_args()


def main() -> int:
    """Command line; 2 and one line on stderr for bad input."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    stop = StopRequest(arguments.max_minutes)
    try:
        config = load_config(arguments.config)
        pairs = find_pairs(arguments.pairs) if arguments.pairs else []
        fabric = open_fabric(arguments.accelerator, config.precision, arguments.devices)
        if arguments.widen and not arguments.init:
            raise TrainingError("--widen without --init; expected a model to widen")
        initial = origin = None
        if arguments.init:
            config, initial = begun_with(arguments.init, config, widen=arguments.widen)
            origin = model_record(arguments.init)
        scenes = training_scenes(config)
        trainer = Trainer(config, scenes, arguments.out, fabric, initial=initial, began_with=origin)
        trainer.run(stop, arguments.save_minutes, lambda t: _score(t, pairs))
    except StereoDpError as error:
        print(f"training.train: {error}", file=sys.stderr)
        return 2
    return 0


def training_scenes(config: TrainConfig) -> SceneSource:
    """What a run is trained on, from its first sample's scene on.

    Raises
    ------
    StereoDpError
        Of `build_scenes`; or procedural scenes would reach those that are for validation.
    """
    end = config.first_scene + config.samples
    if config.data.source == "procedural" and end > VALIDATION_SEED:
        raise TrainingError(f"first_scene + samples is {end}; expected at most {VALIDATION_SEED}, the first held out")
    return LaterScenes(build_scenes(config.data, config.seed), config.first_scene)


def begun_with(name: str, config: TrainConfig, *, widen: bool = False) -> tuple[TrainConfig, dict[str, Tensor]]:
    """The config with a model's network, and its weights; the model is shipped or a user's, whole or pruned.

    Parameters
    ----------
    widen
        The config's network is wider than the model's: the weights are put into one that computes the same.

    Raises
    ------
    TrainingError
        If the model's network is not the config's; where the config has no channel table, any pruned one of it is. Or
        if it cannot be widened to it.
    """
    model = load_model(name)
    network = load_network(model.manifest.network, model.file_with_suffix(".safetensors"))
    if widen:
        torch.manual_seed(config.seed)
        network = widened(network, config.network)
    description = describe_network(network)
    description.pop("calibration", None)  # of what it was; the export calibrates what it has become
    wanted = describe_network(build_network(config.network))
    compared = ("type", "config", "channels") if config.network.get("channels") else ("type", "config")
    if any(description.get(field) != wanted.get(field) for field in compared):
        raise TrainingError(f"--init {name}: has another network ({model.manifest.network}) than the config")
    return dataclasses.replace(config, network=description), network.state_dict()


def _score(trainer: Trainer, pairs: list[PairFolder]) -> None:
    for row in set_rows(evaluate_pairs(trainer.average.network, pairs)) if pairs else []:
        line = f"{trainer.sample} samples, {row['name']}: epe {row['epe']:.2f} px, bad-2.0 {row['bad_2']:.1f} %"
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
