"""The training loop: resumable at any batch, averaged weights, stops before a step that is not finite."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.networks import build_network, describe_network
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import OptimConfig, TrainConfig, to_dict
from training.ema import WeightAverage
from training.errors import TrainingError
from training.loader import Batches, CroppedScenes, SceneSource, build_loader, without_traceback
from training.losses import Objective, Supervised
from training.pictures import sample_picture
from training.processes import any_process
from training.record import run_record
from training.rendering import PackedScenes, packed_source, rendered
from training.reuse import ReusedScenes
from training.sync_norm import synchronize_norms

__all__ = ["Trainer", "learning_rate"]

LOG_EVERY_STEPS = 25
PICTURE_EVERY_STEPS = 500
REUSE_BATCHES = 10
"""Batches of a worker between two uses of a scene (`DataConfig.reuse`)."""


def learning_rate(config: OptimConfig, sample: int, samples: int) -> float:
    """Rate before the batch that starts at `sample` of `samples`: linear warm-up, constant, linear decay to zero."""
    rate = config.learning_rate
    if config.warmup_samples:
        rate *= min(1.0, (sample + config.batch_size) / config.warmup_samples)
    if config.decay_samples:
        rate *= min(1.0, (samples - sample) / config.decay_samples)
    return rate


class Trainer:
    """A run in a folder: `last.pt` is its newest checkpoint, from which a new Trainer on the folder goes on.

    Parameters
    ----------
    config
        The run. Going on with other settings is allowed, except for the network's.
    scenes
        Source of samples; sample i of the run is scene i.
    out
        Folder for checkpoints and TensorBoard events.
    fabric
        Devices, precision and processes.
    objective
        What to minimise; left out, the supervised loss of the config.
    initial
        State of the network at the start; left out, random by the config's seed. A checkpoint goes before it.
    began_with
        The model whose state that is, for the record.
    """

    def __init__(
        self,
        config: TrainConfig,
        scenes: SceneSource,
        out: Path,
        fabric: Fabric,
        *,
        objective: Objective | None = None,
        initial: Mapping[str, Tensor] | None = None,
        began_with: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.began_with = began_with
        self.scenes = scenes
        self.out = out
        self.fabric = fabric
        self.sample = 0
        self.seconds = 0.0
        self._gradients_reach = False
        torch.manual_seed(config.seed)
        self.network = build_network(config.network)
        if initial is not None:
            self.network.load_state_dict(initial, strict=True)
        if fabric.world_size > 1:
            synchronize_norms(self.network)
        self.objective: Objective = objective or Supervised(self.network.bin_px, config.loss)
        self.description = describe_network(self.network)
        self.average = WeightAverage(self.network, config.optim.ema_decay)
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.optim.learning_rate,
            betas=(0.9, 0.999),
            weight_decay=config.optim.weight_decay,
            fused=True,
        )
        if self.checkpoint_path.exists():
            self._restore(optimizer)
        self.model, self.optimizer = fabric.setup(self.network, optimizer)
        self.average.network.to(fabric.device)

    @property
    def checkpoint_path(self) -> Path:
        """The newest checkpoint of this run."""
        return self.out / "last.pt"

    def run(
        self,
        should_stop: Callable[[], bool] = lambda: False,
        every_minutes: float = 5.0,
        on_checkpoint: Callable[[Trainer], None] = lambda _: None,
    ) -> None:
        """Train until the config's number of samples or until `should_stop`, and leave a checkpoint.

        `on_checkpoint` is called in the first process after each of them, every `every_minutes`.
        """
        self.model.train()
        saved_at = time.monotonic()
        with self._writer() as writer, self._progress() as progress:
            for batch in self._batches():
                terms = self.step(batch)
                progress.update(self.config.optim.batch_size)
                number = self.sample // self.config.optim.batch_size
                if number % PICTURE_EVERY_STEPS == 0 and self.fabric.is_global_zero:
                    picture = sample_picture(self.average.network, batch)
                    writer.add_image("left, truth, prediction, error", picture, self.sample, dataformats="HWC")
                if number % LOG_EVERY_STEPS == 0:
                    self._log(writer, terms)
                    progress.set_postfix_str(" ".join(f"{k} {v:.3f}" for k, v in terms.items()), refresh=False)
                if any_process(self.fabric, should_stop()):  # all leave the loop after the same step
                    break
                if any_process(self.fabric, time.monotonic() - saved_at > 60.0 * every_minutes):
                    self.save()
                    self._call(on_checkpoint)
                    saved_at = time.monotonic()
        self.save()
        self._call(on_checkpoint)

    def step(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """One optimiser step; returns the terms of the loss.

        Raises
        ------
        TrainingError
            If the loss or the gradient is not finite; weights are then as before the step.
        """
        started = time.monotonic()
        rate = learning_rate(self.config.optim, self.sample, self.config.samples)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        output = self.model(batch["left"].float(), batch["right"].float())
        terms = self.objective(output, batch, self.sample / self.config.samples)
        values = {name: float(term.detach()) for name, term in terms.items()}
        self._require_finite(values, batch)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(terms["total"])
        self._require_gradients()
        norm: Any = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.config.optim.clip_norm, error_if_nonfinite=False
        )
        self._require_finite({"gradient norm": float(norm)}, batch)
        self.optimizer.step()
        self.average.update(self.network)
        self.sample += self.config.optim.batch_size
        self.seconds += time.monotonic() - started
        return values

    def save(self) -> None:
        """Write `last.pt` in the first process."""
        if self.fabric.is_global_zero:
            state = {
                "description": self.description,
                "config": to_dict(self.config),
                "model": self.network.state_dict(),
                "ema": self.average.network.state_dict(),
                "ema_updates": self.average.updates,
                "optimizer": self.optimizer.state_dict(),
                "samples": self.sample,
                "seconds": self.seconds,
                "began_with": self.began_with,
                **run_record(str(self.fabric.device)),
            }
            save_checkpoint(self.checkpoint_path, state)
        self.fabric.barrier()

    def _restore(self, optimizer: torch.optim.Optimizer) -> None:
        state = load_checkpoint(self.checkpoint_path, self.description)
        self.network.load_state_dict(state["model"], strict=True)
        self.average.network.load_state_dict(state["ema"], strict=True)
        self.average.updates = state["ema_updates"]
        optimizer.load_state_dict(state["optimizer"])
        self.sample, self.seconds = state["samples"], state["seconds"]
        self.began_with = state["began_with"] or self.began_with

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        try:
            yield from self._loaded()
        except StereoDpError as error:
            raise without_traceback(error) from None

    def _loaded(self) -> Iterator[dict[str, Tensor]]:
        data = self.config.data
        scenes = self.scenes
        if data.reuse > 1:
            lag = REUSE_BATCHES * max(1, data.workers) * self.config.optim.batch_size
            scenes = ReusedScenes(scenes, data.reuse, lag)
        dataset = CroppedScenes(scenes, data.crop_height_px, data.crop_width_px, self.config.seed, data.enlargement)
        batches = Batches(
            self.sample,
            self.config.samples,
            self.config.optim.batch_size,
            self.fabric.global_rank,
            self.fabric.world_size,
        )
        if data.renderer == "torch":
            packed = PackedScenes(packed_source(self.scenes))
            loader = build_loader(packed, batches, data.workers, collate=list)
            setup: Any = self.fabric.setup_dataloaders(loader, use_distributed_sampler=False, move_to_device=False)
            yield from rendered(setup, dataset, self.fabric.device)
            return
        loader = build_loader(dataset, batches, data.workers)
        yield from cast(Any, self.fabric.setup_dataloaders(loader, use_distributed_sampler=False))

    def _require_finite(self, values: dict[str, float], batch: dict[str, Tensor]) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if any_process(self.fabric, bool(bad)):  # one that went on would wait for the others for ever
            what = ", ".join(bad) if bad else "a loss in another process"
            raise TrainingError(
                f"{what} not finite at sample {self.sample} (of samples {batch['index'].tolist()});"
                " stopped before the step"
            )

    def _require_gradients(self) -> None:
        if self._gradients_reach:
            return
        without = [name for name, p in self.network.named_parameters() if p.requires_grad and p.grad is None]
        if without:
            raise TrainingError(
                f"no gradient reaches {', '.join(without)}; expected a loss on which every layer has an influence"
            )
        self._gradients_reach = True

    def _call(self, on_checkpoint: Callable[[Trainer], None]) -> None:
        if self.fabric.is_global_zero:
            on_checkpoint(self)
        self.fabric.barrier()

    def _writer(self) -> SummaryWriter:
        return SummaryWriter(str(self.out / "events"), purge_step=self.sample)

    def _log(self, writer: SummaryWriter, terms: dict[str, float]) -> None:
        if self.fabric.is_global_zero:
            for name, value in terms.items():
                writer.add_scalar(f"loss/{name}", value, self.sample)
            writer.add_scalar("learning_rate", self.optimizer.param_groups[0]["lr"], self.sample)

    def _progress(self) -> Any:
        return tqdm(
            total=self.config.samples,
            initial=self.sample,
            unit="sample",
            disable=not self.fabric.is_global_zero,
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            dynamic_ncols=True,
        )
