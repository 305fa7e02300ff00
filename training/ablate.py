"""Ablation tables of the paper, at equal budget: `python -m training.ablate {modules,supervision,loss,pruning}`.

Goes on where it was left (`--max-minutes`). Once every row has been trained with every seed, TABLE.json and TABLE.md
are written to `training/results/`, the paper's figure beside ours. `--rehearse 20` runs every row for 20 steps and
writes into its own folder: such figures mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from lightning_fabric import Fabric

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.networks import build_network, describe_network
from training.checkpoint import differences
from training.config import DataConfig, LossConfig, parse_config
from training.distill import DistillConfig
from training.errors import TrainingError
from training.evaluate import network_from_checkpoint
from training.prune import PruneConfig, prune_step
from training.report import teacher_verdict
from training.stages import RunConfig, ValidationConfig, Workshop, require_sources
from training.teacher import open_teacher
from training.train import StopRequest

__all__ = ["TABLES", "Ablation", "AblationConfig", "Row", "compare", "main"]

ROOT = Path(__file__).resolve().parent
GROUND_TRUTH = DistillConfig(teacher=0.0, ground_truth=1.0)
TEACHER = DistillConfig()


@dataclass(frozen=True)
class TeacherRuns:
    """The teacher that all rows share."""

    network: dict[str, Any]
    runs: list[RunConfig]
    loss: LossConfig = field(default_factory=LossConfig)


@dataclass(frozen=True)
class AblationConfig:
    """Budget of the tables: `train` for a row, `finetune` after a pruning step."""

    data: dict[str, DataConfig]
    teacher: TeacherRuns
    train: RunConfig
    finetune: RunConfig
    validation: ValidationConfig
    max_disparity_px: int = 96
    seeds: int = 3
    precision: str = "bf16-mixed"
    cache_gib: float = 0.0
    student: dict[str, Any] = field(default_factory=dict)
    prune: PruneConfig = field(default_factory=PruneConfig)


@dataclass(frozen=True)
class Row:
    """One row: fields of `DtpConfig` that differ from setting 3, the loss, the paper's EPE on SceneFlow.

    `course` is how it comes about: "train", or for the pruning table "prune_K" (distilled, then K steps),
    "prune_first" (trained on ground truth, pruned, then distilled) or "scratch".
    """

    label: str
    paper_epe: float | None
    config: dict[str, Any] = field(default_factory=dict)
    loss: DistillConfig = GROUND_TRUTH
    course: str = "train"


TABLES = {
    "modules": [
        Row("setting 1", 1.27, {"stages": 4, "cost": "interlaced", "hourglasses": 3}),
        Row("setting 2", 1.48, {"stages": 4, "cost": "interlaced"}),
        Row("setting 3 (dtpnet)", 1.73),
        Row("setting 3, spp", None, {"spp": True}),
        Row("setting 3, interlaced cost", None, {"cost": "interlaced"}),
        Row("setting 3, no hourglass", 5.04, {"hourglasses": 0}),
    ],
    "supervision": [
        Row("ground truth", 1.73),
        Row("ground truth + teacher", 1.61, loss=DistillConfig(ground_truth=1.0)),
        Row("teacher", 1.56, loss=TEACHER),
    ],
    "loss": [
        Row("KL", 1.86, loss=DistillConfig(distance="kl")),
        Row("L1", 1.78, loss=TEACHER),
    ],
    "pruning": [
        Row("distilled, unpruned", None, loss=TEACHER),
        *(Row(f"after step {k}", 1.56 if k == 5 else None, loss=TEACHER, course=f"prune_{k}") for k in range(1, 6)),
        Row("pruned first, then distilled", None, loss=TEACHER, course="prune_first"),
        Row("pruned architecture from scratch", None, loss=TEACHER, course="scratch"),
    ],
}


class Ablation:
    """One table in a folder; `results` is None until every row has all its seeds."""

    def __init__(self, table: str, config: AblationConfig, workshop: Workshop) -> None:
        self.rows = TABLES[table]
        self.table = table
        self.config = config
        self.workshop = workshop
        plain = json.loads(json.dumps(dataclasses.asdict(config)))
        begun = workshop.out / "config.json"
        if begun.exists() and (changed := differences(json.loads(begun.read_text()), plain)):
            raise TrainingError(f"{begun}: begun with another config: {'; '.join(changed)}")
        workshop.out.mkdir(parents=True, exist_ok=True)
        begun.write_text(json.dumps(plain, indent=1) + "\n")

    def results(self) -> dict[str, Any] | None:
        """Train what is missing; the table, or None if stopped before its end."""
        shared = {name: self._shared(name) for name in ("teacher", "ground_truth")}
        rows = []
        for row in self.rows:
            measured = []
            for seed in range(self.config.seeds):
                checkpoint = None if None in shared.values() else self._course(row, row.course, seed)
                if checkpoint is None:
                    return None
                measured.append({"seed": seed, **self._measured(checkpoint)})
            rows.append({"label": row.label, "paper_epe": row.paper_epe, "seeds": measured, **_summary(measured)})
        counts, line = teacher_verdict({k: self._measured(v) for k, v in shared.items() if v is not None})
        budget = dataclasses.asdict(self.config)
        return {
            "table": self.table,
            "teacher_counts": counts,
            "teacher_line": line,
            "rows": compare(rows),
            "budget": json.loads(json.dumps(budget)),
        }

    def _shared(self, name: str) -> Path | None:
        teacher = self.config.teacher
        if name == "teacher":
            return self.workshop.fit(name, _described(teacher.network), teacher.runs, teacher.loss)
        return self._train("shared_ground_truth", self._student({}), GROUND_TRUTH, 0)

    def _student(self, config: dict[str, Any]) -> dict[str, Any]:
        base = {"max_disparity_px": self.config.max_disparity_px, **self.config.student}
        return _described({"type": "dtpnet", "config": {**base, **config}})

    def _train(self, name: str, network: dict[str, Any], loss: DistillConfig, seed: int, **rest: Any) -> Path | None:
        runs = rest.pop("runs", [self.config.train])
        teacher = None
        if loss.teacher > 0:
            last = f"run{len(self.config.teacher.runs) - 1}"
            teacher = open_teacher(self.workshop.out / "teacher" / last / "last.pt", self.workshop.fabric.device)
        return self.workshop.fit(name, network, runs, loss, teacher=teacher, seed=seed, **rest)

    def _course(self, row: Row, course: str, seed: int) -> Path | None:
        folder = f"{self.table}/{row.label.replace(' ', '_')}/{seed}"
        shared = f"{self.table}/course/{seed}"
        if course == "train":
            return self._train(folder, self._student(row.config), row.loss, seed)
        if course == "prune_first":
            return self._prune_first(row, folder, seed)
        steps = self.config.prune.steps
        if course == "scratch":
            cut = self._course(row, f"prune_{steps}", seed)
            runs = [self.config.train, *[self.config.finetune] * steps]
            network = None if cut is None else _described(network_from_checkpoint(cut)[1]["description"])
            return None if network is None else self._train(folder, network, row.loss, seed, runs=runs)
        checkpoint = self._train(f"{shared}/unpruned", self._student({}), row.loss, seed)
        for step in range(1, int(course.removeprefix("prune_")) + 1):
            if checkpoint is None:
                return None
            checkpoint = self._cut(f"{shared}/step{step}", checkpoint, step, row.loss, seed, self.config.train.samples)
        return checkpoint

    def _prune_first(self, row: Row, folder: str, seed: int) -> Path | None:
        """Half of `train` on ground truth, the pruning with ground truth, the other half distilled."""
        half = _halved(self.config.train)
        checkpoint = self._train(f"{folder}/unpruned", self._student({}), GROUND_TRUTH, seed, runs=[half])
        for step in range(1, self.config.prune.steps + 1):
            if checkpoint is None:
                return None
            checkpoint = self._cut(f"{folder}/step{step}", checkpoint, step, GROUND_TRUTH, seed, half.samples)
        if checkpoint is None:
            return None
        network, state = network_from_checkpoint(checkpoint)
        seen = half.samples + self.config.prune.steps * self.config.finetune.samples
        rest = {"initial": network.state_dict(), "first_scene": seen, "runs": [half]}
        return self._train(f"{folder}/distilled", state["description"], row.loss, seed, **rest)

    def _cut(self, name: str, before: Path, step: int, loss: DistillConfig, seed: int, seen: int) -> Path | None:
        network, _ = network_from_checkpoint(before)
        prune_step(network, step, self.config.prune)
        rest = {
            "initial": network.state_dict(),
            "first_scene": seen + (step - 1) * self.config.finetune.samples,
            "runs": [self.config.finetune],
        }
        return self._train(name, describe_network(network), loss, seed, **rest)

    def _measured(self, checkpoint: Path) -> dict[str, Any]:
        """Measured once, kept beside the checkpoint."""
        kept = checkpoint.with_name("measured.json")
        if not kept.exists():
            network, state = network_from_checkpoint(checkpoint)
            record = {key: state[key] for key in ("seconds", "device", "commit")}
            kept.write_text(json.dumps({**self.workshop.measure(network), **record}))
        measured: dict[str, Any] = json.loads(kept.read_text())
        return measured


def compare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row with `resolved`: whether its mean EPE differs from the best row's beyond two standard errors.

    None for the best row itself; False wherever there are fewer than three seeds.
    """
    best = min(rows, key=lambda row: float(row["epe_mean"]))
    compared = []
    for row in rows:
        resolved: bool | None = None
        if row is not best:
            count = min(len(row["seeds"]), len(best["seeds"]))
            error = math.hypot(row["epe_sd"] or 0.0, best["epe_sd"] or 0.0) / math.sqrt(count)
            resolved = count >= 3 and row["epe_mean"] - best["epe_mean"] > 2 * error
        compared.append({**row, "resolved": resolved})
    return compared


def markdown(results: dict[str, Any]) -> str:
    """The table as it is committed."""
    said = {None: "best", True: "yes", False: "not resolved"}
    first = results["rows"][0]["seeds"][0]
    budget = results["budget"]
    lines = [
        f"# {results['table']}",
        "",
        f"{budget['train']['samples']} samples a row, {budget['seeds']} seeds, D = {budget['max_disparity_px']};"
        f" {first['device']}. EPE in px on procedural validation scenes, mean ± standard deviation over the seeds; the"
        " paper's is on SceneFlow with D = 192.",
        "",
        results["teacher_line"],
        "",
        "| | paper's EPE | EPE | worse than the best | parameters | MACs at 640x480 | latency ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        one = row["seeds"][0]
        paper = "" if row["paper_epe"] is None else f"{row['paper_epe']:.2f}"
        spread = "" if row["epe_sd"] is None else f" ± {row['epe_sd']:.3f}"
        lines.append(
            f"| {row['label']} | {paper} | {row['epe_mean']:.3f}{spread} | {said[row['resolved']]} |"
            f" {one['parameters'] / 1e6:.3f} M | {one['macs_640x480'] / 1e9:.2f} G | {one['latency_ms']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _summary(measured: list[dict[str, Any]]) -> dict[str, Any]:
    values = [next(iter(entry["metrics"].values()))["epe"] for entry in measured]
    return {"epe_mean": statistics.mean(values), "epe_sd": statistics.stdev(values) if len(values) > 1 else None}


def _described(network: dict[str, Any]) -> dict[str, Any]:
    return describe_network(build_network(network))


def _halved(run: RunConfig) -> RunConfig:
    optim = dataclasses.replace(run.optim, decay_samples=run.optim.decay_samples // 2)
    return dataclasses.replace(run, samples=run.samples // 2, optim=optim)


def _rehearsal(config: AblationConfig, steps: int) -> AblationConfig:
    def short(run: RunConfig) -> RunConfig:
        optim = dataclasses.replace(run.optim, decay_samples=0)
        return dataclasses.replace(run, samples=steps * run.optim.batch_size, optim=optim)

    return dataclasses.replace(
        config,
        teacher=dataclasses.replace(config.teacher, runs=[short(run) for run in config.teacher.runs]),
        train=short(config.train),
        finetune=short(config.finetune),
        validation=dataclasses.replace(config.validation, scenes=2, pairs=""),
        seeds=1,
    )


def load_ablation_config(path: Path) -> AblationConfig:
    """Read a YAML file; a TrainingError names the file and the field."""
    try:
        config: AblationConfig = parse_config(AblationConfig, yaml.safe_load(path.read_text()))
    except (StereoDpError, OSError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: {error}") from error
    return config


def main(values: list[str] | None = None) -> int:
    """Command line; 0 when done, 3 when stopped before the end, 2 and one line on stderr for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "ablate.yaml", help="budget (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablate"), help="folder of the runs (%(default)s)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder of the tables (%(default)s)")
    parser.add_argument("--max-minutes", type=float, help="stop after so long, with everything saved")
    parser.add_argument("--rehearse", type=int, metavar="STEPS", help="every row for so many steps, one seed")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads of torch (%(default)s)")
    parser.add_argument("--accelerator", default="auto", help="of Lightning Fabric (%(default)s)")
    arguments = parser.parse_args(values)
    torch.set_num_threads(arguments.threads)
    try:
        config, out = load_ablation_config(arguments.config), arguments.out
        results_folder = arguments.results
        if arguments.rehearse:
            config, out = _rehearsal(config, arguments.rehearse), out.with_name(f"{out.name}-rehearsal")
            results_folder = out
        require_sources(config.data, {"train.data": config.train.data, "validation.data": config.validation.data})
        fabric = Fabric(accelerator=arguments.accelerator, devices=1, precision=cast(Any, config.precision))
        stop = StopRequest(arguments.max_minutes)
        workshop = Workshop(out, config.data, config.validation, fabric, stop, config.precision, config.cache_gib)
        results = Ablation(arguments.table, config, workshop).results()
    except StereoDpError as error:
        print(f"training.ablate: {error}", file=sys.stderr)
        return 2
    if results is None:
        return 3
    results_folder.mkdir(parents=True, exist_ok=True)
    (results_folder / f"{arguments.table}.json").write_text(json.dumps(results, indent=1) + "\n")
    (results_folder / f"{arguments.table}.md").write_text(markdown(results))
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
