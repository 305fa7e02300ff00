"""Teacher, distillation, five times prune and fine-tune, export, what it is compared with, report: one command.

`python -m training.pipeline --config training/configs/NAME.yaml [--out runs/NAME] [--max-minutes M]`

`record.json` in the folder says which stages are done and what came out of each; called again, the command goes on
after the last of them, inside it at the checkpoint. The model is exported before the networks that it is compared with
are trained: the student on ground truth alone, and the pruned architecture from scratch. `--rehearse 20` runs every
stage for 20 steps in a folder of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.networks import StereoNetwork, build_network, describe_network, load_network, save_weights
from training.checkpoint import differences
from training.command import Parser, at_least_1
from training.config import LossConfig
from training.distill import DistillConfig
from training.errors import TrainingError
from training.evaluate import network_from_checkpoint
from training.export import export_model
from training.pipeline_config import PipelineConfig, load_pipeline_config, rehearsal
from training.processes import any_process, open_fabric
from training.prune import prune_step, require_spared
from training.record import model_record
from training.report import report, teacher_verdict
from training.stage_config import RunConfig, require_ready
from training.stages import Workshop
from training.teacher import model_network
from training.train import StopRequest

__all__ = ["Pipeline", "main"]


class Pipeline:
    """The stages in a folder.

    Parameters
    ----------
    config
        What to do; must be the one that the folder was begun with.
    out
        Folder of the record, the stages' checkpoints and the exported model.
    fabric
        Devices and processes.
    should_stop
        Asked after every step; once true, `run` returns False with everything saved.
    """

    def __init__(self, config: PipelineConfig, out: Path, fabric: Fabric, should_stop: Callable[[], bool]) -> None:
        runs = {f"{place}[{i}]": run for place, runs in config.runs().items() for i, run in enumerate(runs)}
        require_ready(config.data, runs, config.validation)
        self.student = _begun_with(config) if config.init else config.student
        require_spared(build_network(self.student), config.prune)
        if config.teacher.network:
            build_network(config.teacher.network)
        self.config = config
        self.out = out
        self.fabric = fabric
        self.should_stop = should_stop
        self.workshop = Workshop(
            out,
            config.data,
            config.validation,
            fabric,
            should_stop,
            config.precision,
            config.cache_gib,
            config.distinct_scenes,
        )
        plain = json.loads(json.dumps(dataclasses.asdict(config)))
        self.record: dict[str, Any] = {"name": config.name, "config": plain, "stages": {}}
        if self.record_path.exists():
            self.record = json.loads(self.record_path.read_text())
            changed = differences(self.record["config"], plain)
            if changed:
                raise TrainingError(f"{self.record_path}: begun with another config: {'; '.join(changed)}")

    @property
    def record_path(self) -> Path:
        """What the stages left: parameters, MACs, latency, metrics, samples, seconds."""
        return self.out / "record.json"

    def stages(self) -> dict[str, Callable[[], dict[str, Any] | None]]:
        """Every stage by name, in order; each returns its entry of the record, or None if it was stopped."""
        stages: dict[str, Callable[[], dict[str, Any] | None]] = {"teacher": self._teacher}
        stages["distilled" if self.config.distil else "initial"] = self._distil
        for step in range(1, self.config.prune.steps + 1):
            stages[f"pruned_{step}"] = partial(self._prune, step)
        stages["export"] = self._export
        if self.config.baseline:
            stages["ground_truth"] = self._baseline
        if self.config.scratch:
            stages["scratch"] = self._scratch
        stages["evaluate"] = self._evaluate
        return stages

    def run(self) -> bool:
        """Go on after the last finished stage; True once all are done."""
        for name, stage in self.stages().items():
            if name in self.record["stages"]:
                continue
            if any_process(self.fabric, self.should_stop()):
                return False
            entry = stage()
            if entry is None:
                return False
            self.record["stages"][name] = entry
            if self.fabric.is_global_zero:
                self._write(self.record_path, json.dumps(self.record, indent=1) + "\n")
            self.fabric.barrier()
        return True

    def _teacher(self) -> dict[str, Any] | None:
        config = self.config.teacher
        if config.network:
            return self._fit("teacher", config.network, config.runs, config.loss)
        teacher = self.workshop.teacher(config)
        figures = self.workshop.measure_teacher(teacher) if teacher and self.fabric.is_global_zero else {}
        return None if teacher is None else {"identity": teacher.identity, "samples": 0, **figures}

    def _baseline(self) -> dict[str, Any] | None:
        loss = dataclasses.replace(self.config.loss, teacher=0.0, ground_truth=1.0)
        return self._fit("ground_truth", self.student, self.config.distil, loss, first_scene=self.config.first_scene)

    def _distil(self) -> dict[str, Any] | None:
        if not self.config.distil:
            return {"network": self.config.init, "samples": 0, **self._figures(model_network(self.config.init))}
        initial = model_network(self.config.init).state_dict() if self.config.init else None
        return self._fit(
            "distilled",
            self.student,
            self.config.distil,
            self.config.loss,
            initial=initial,
            first_scene=self.config.first_scene,
            began_with=self._origin(),
        )

    def _prune(self, step: int) -> dict[str, Any] | None:
        name = f"pruned_{step}"
        cut = self.out / name / "cut"
        if self.fabric.is_global_zero and not cut.with_suffix(".json").exists():
            network = self._before(step)
            prune_step(network, step, self.config.prune)
            cut.parent.mkdir(parents=True, exist_ok=True)
            save_weights(network, cut.with_suffix(".safetensors"))
            self._write(cut.with_suffix(".json"), json.dumps(describe_network(network)))
        self.fabric.barrier()
        description = json.loads(cut.with_suffix(".json").read_text())
        network = load_network(description, cut.with_suffix(".safetensors"))
        seen = _samples(self.config.distil) + (step - 1) * _samples(self.config.finetune)
        return self._fit(
            name,
            description,
            self.config.after_step(step),
            self.config.loss,
            initial=network.state_dict(),
            first_scene=self.config.first_scene + seen,
            began_with=self._origin(),
        )

    def _origin(self) -> dict[str, Any] | None:
        return model_record(self.config.init) if self.config.init else None

    def _before(self, step: int) -> StereoNetwork:
        if step == 1 and not self.config.distil:
            return model_network(self.config.init)
        return network_from_checkpoint(self._checkpoint("distilled" if step == 1 else f"pruned_{step - 1}"))[0]

    def _scratch(self) -> dict[str, Any] | None:
        description = describe_network(network_from_checkpoint(self._checkpoint(self._last()))[0])
        runs = [*self.config.distil, *(self.config.finetune * self.config.prune.steps), *self.config.finish]
        return self._fit("scratch", description, runs, self.config.loss, first_scene=self.config.first_scene)

    def _export(self) -> dict[str, Any] | None:
        if not self.fabric.is_global_zero:
            return {}
        path = export_model(self._checkpoint(self._last()), self.config.name, self.out / "model")
        return {"manifest": str(path.relative_to(self.out))}

    def _evaluate(self) -> dict[str, Any] | None:
        text = report(self.record)
        if self.fabric.is_global_zero:
            self._write(self.out / "report.md", text)
            print(text)
        beats, line = teacher_verdict(self.record["stages"])
        return {"report": "report.md", "teacher_counts": beats, "teacher_line": line}

    def _fit(
        self,
        name: str,
        description: dict[str, Any],
        runs: list[RunConfig],
        loss: LossConfig | DistillConfig,
        **rest: Any,
    ) -> dict[str, Any] | None:
        described = describe_network(build_network(description))
        asks = isinstance(loss, DistillConfig) and loss.teacher > 0
        teacher = self.workshop.teacher(self.config.teacher, self.config.seed) if asks else None
        path = self.workshop.fit(name, described, runs, loss, teacher=teacher, seed=self.config.seed, **rest)
        return None if path is None else {**self._measured(path), "samples": _samples(runs)}

    def _measured(self, checkpoint: Path) -> dict[str, Any]:
        network, state = network_from_checkpoint(checkpoint)
        inside = checkpoint.is_relative_to(self.out)
        return {
            "checkpoint": str(checkpoint.relative_to(self.out) if inside else checkpoint),
            "network": state["description"],
            "samples": state["samples"],
            "seconds": round(state["seconds"], 1),
            "device": state["device"],
            "commit": state["commit"],
            **self._figures(network),
        }

    def _figures(self, network: StereoNetwork) -> dict[str, Any]:
        return self.workshop.measure(network) if self.fabric.is_global_zero else {}

    def _last(self) -> str:
        return f"pruned_{self.config.prune.steps}" if self.config.prune.steps else "distilled"

    def _checkpoint(self, stage: str) -> Path:
        return self.out / self.record["stages"][stage]["checkpoint"]

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(text)
        os.replace(partial, path)


def _begun_with(config: PipelineConfig) -> dict[str, Any]:
    """The network of `init`, which the student must be; a student without a channel table may be any pruned one."""
    described = describe_network(model_network(config.init))
    described.pop("calibration", None)  # of what it was; the export calibrates what it has become
    student = describe_network(build_network(config.student))
    if not config.student.get("channels"):
        student["channels"] = described["channels"]
    other = differences(student, described)
    if other:
        raise TrainingError(f"student is not the network of init {config.init}: {'; '.join(other)}")
    return described


def _samples(runs: list[RunConfig]) -> int:
    return sum(run.samples for run in runs)


def _arguments(values: list[str] | None) -> argparse.Namespace:
    parser = Parser("pipeline", __doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of a pipeline")
    parser.add_argument("--out", type=Path, help="folder (default: runs/NAME)")
    parser.add_argument(
        "--rehearse", type=at_least_1, metavar="STEPS", help="every run for so many steps, in OUT-rehearsal"
    )
    parser.add_argument("--devices", type=at_least_1, default=1, help="processes or GPUs (%(default)s)")
    parser.add_run_options()
    return parser.parse_args(values)


def main(values: list[str] | None = None) -> int:
    """Command line; 0 when done, 3 when stopped before the end, 2 and one line on stderr for bad input."""
    arguments = _arguments(values)
    torch.set_num_threads(arguments.threads)
    stop = StopRequest(arguments.max_minutes)
    try:
        config = load_pipeline_config(arguments.config)
        out = arguments.out or Path("runs") / config.name
        if arguments.rehearse:
            config, out = rehearsal(config, arguments.rehearse), out.with_name(f"{out.name}-rehearsal")
        fabric = open_fabric(arguments.accelerator, config.precision, arguments.devices)
        done = Pipeline(config, out, fabric, stop).run()
    except StereoDpError as error:
        print(f"training.pipeline: {error}", file=sys.stderr)
        return 2
    return 0 if done else 3


if __name__ == "__main__":
    sys.exit(main())
