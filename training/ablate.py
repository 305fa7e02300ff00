"""Ablation tables of the paper, at equal budget: `python -m training.ablate {modules,supervision,loss,pruning}`.

Goes on where it was left (`--max-minutes`). A finished seed of a row leaves `runs/NAME.json` in `training/results/`
and is not run again where that file is; once every row has every seed, TABLE.json and TABLE.md are written, the figure
of the paper beside ours. `--rehearse 20` runs every row for 20 steps in a folder of its own: its figures mean nothing.
`--run NAME` makes one record alone, so that several processes can share a table and its folders. `--so-far` runs
nothing and writes the table of the records that there are.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.networks import build_network, describe_network
from training.checkpoint import differences
from training.command import Parser, at_least_1
from training.config import DataConfig, read_config
from training.errors import TrainingError
from training.evaluate import network_from_checkpoint
from training.processes import open_fabric
from training.prune import PruneConfig, prune_step
from training.report import teacher_verdict
from training.stage_config import RunConfig, TeacherConfig, ValidationConfig, require_ready
from training.stages import Workshop
from training.tables import LOSSES, TABLES, Row, compare, markdown, summary
from training.teacher import Teacher
from training.train import StopRequest

__all__ = ["Ablation", "AblationConfig", "load_ablation_config", "main"]

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class AblationConfig:
    """Budget of the tables: `train` for a row, `finetune` after a pruning step; all rows share the teacher."""

    data: dict[str, DataConfig]
    teacher: TeacherConfig
    train: RunConfig
    finetune: RunConfig
    validation: ValidationConfig
    max_disparity_px: int = 96
    seeds: int = 3
    precision: str = "bf16-mixed"
    cache_gib: float = 0.0
    distinct_scenes: int = 0
    student: dict[str, Any] = field(default_factory=dict)
    prune: PruneConfig = field(default_factory=PruneConfig)

    def budget(self) -> dict[str, Any]:
        """What a row's figures depend on: not the number of seeds, the cache or the workers. JSON types.

        Of a finished teacher not its place: a record has its `identity`.
        """
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        for data in plain["data"].values():
            del data["workers"]
        for place in ("model", "file"):
            del plain["teacher"][place]
        return {name: value for name, value in plain.items() if name not in ("seeds", "cache_gib")}


class Ablation:
    """Tables whose runs are in one folder, and the records of finished runs in another."""

    def __init__(self, config: AblationConfig, workshop: Workshop, teacher: Teacher, records: Path) -> None:
        self.config = config
        self.workshop = workshop
        self.teacher = teacher
        self.records = records
        self.budget = config.budget()
        begun = workshop.out / "config.json"
        wanted = {**self.budget, "teacher_identity": teacher.identity}
        if begun.exists() and (changed := differences(json.loads(begun.read_text()), wanted)):
            raise TrainingError(f"{begun}: begun with another config: {'; '.join(changed)}")
        workshop.out.mkdir(parents=True, exist_ok=True)
        if not begun.exists():
            begun.write_text(json.dumps(wanted, indent=1) + "\n")

    def record(self, table: str, name: str) -> dict[str, Any] | None:
        """Run what is missing of one seed of a row; its record, or None if stopped before its end."""
        runs = {row.run_name(seed): (row, seed) for row in TABLES[table] for seed in range(self.config.seeds)}
        if name not in runs:
            raise TrainingError(f"--run is {name!r}; expected one of {', '.join(runs)}")
        return self._row(*runs[name])

    def results(self, table: str, so_far: bool = False) -> dict[str, Any] | None:
        """The table, after running what is missing; None if stopped before its end.

        With `so_far` nothing is run: a row has the seeds that there are, and None says that no row has any, or that
        there is nothing to hold the teacher against.
        """
        rows = []
        for row in TABLES[table]:
            measured = []
            for seed in range(self.config.seeds):
                entry = self._row(row, seed, so_far)
                if entry is not None:
                    measured.append({"seed": seed, **entry})
                elif not so_far:
                    return None
            rows.append({"label": row.label, "paper_epe": row.paper_epe, "seeds": measured, **summary(measured)})
        ground_truth = self._row(Row("ground truth", None), 0, so_far)
        if ground_truth is None or not any(row["seeds"] for row in rows):
            return None
        counts, line = teacher_verdict({"teacher": self._teacher_record(), "ground_truth": ground_truth})
        return {
            "table": table,
            "teacher_counts": counts,
            "teacher_line": line,
            "rows": compare(rows),
            "budget": self.budget,
        }

    def _row(self, row: Row, seed: int, kept_only: bool = False) -> dict[str, Any] | None:
        """A row's record with one seed: kept, or after its run."""
        name = row.run_name(seed)
        kept = self._kept(name, row.loss)
        if kept is not None or kept_only:
            return kept
        checkpoint = self._course(row, row.course, seed)
        if checkpoint is None:
            return None
        network, state = network_from_checkpoint(checkpoint)
        record = {key: state[key] for key in ("samples", "seconds", "device", "commit")}
        return self._keep(name, row.loss, {**self.workshop.measure(network), **record})

    def _teacher_record(self) -> dict[str, Any]:
        kept = self._kept("teacher", "teacher")
        return kept or self._keep("teacher", "teacher", self.workshop.measure_teacher(self.teacher))

    def _kept(self, name: str, loss: str) -> dict[str, Any] | None:
        path = self.records / f"{name}.json"
        if not path.exists():
            return None
        kept: dict[str, Any] = json.loads(path.read_text())
        changed = differences(kept["made_with"], self._made_with(loss))
        if changed:
            raise TrainingError(f"{path}: made otherwise: {'; '.join(changed)}; delete it and it is run anew")
        measured: dict[str, Any] = kept["measured"]
        return measured

    def _keep(self, name: str, loss: str, measured: dict[str, Any]) -> dict[str, Any]:
        self.records.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"measured": measured, "made_with": self._made_with(loss)}, indent=1) + "\n"
        (self.records / f"{name}.json").write_text(text)
        return measured

    def _made_with(self, loss: str) -> dict[str, Any]:
        return {"budget": self.budget, "teacher": self.teacher.identity if LOSSES[loss].teacher > 0 else ""}

    def _student(self, config: dict[str, Any]) -> dict[str, Any]:
        base = {"max_disparity_px": self.config.max_disparity_px, **self.config.student}
        return _described({"type": "dtpnet", "config": {**base, **config}})

    def _train(self, name: str, network: dict[str, Any], loss: str, seed: int, **rest: Any) -> Path | None:
        runs = rest.pop("runs", [self.config.train])
        teacher = self.teacher if LOSSES[loss].teacher > 0 else None
        return self.workshop.fit(name, network, runs, LOSSES[loss], teacher=teacher, seed=seed, **rest)

    def _course(self, row: Row, course: str, seed: int) -> Path | None:
        name = dataclasses.replace(row, course=course).run_name(seed)
        if course == "train":
            return self._train(name, self._student(row.config), row.loss, seed)
        if course == "prune_first":
            return self._prune_first(row, name, seed)
        if course == "scratch":
            return self._scratch(row, name, seed)
        step = int(course.removeprefix("prune_"))
        before = self._course(row, "train" if step == 1 else f"prune_{step - 1}", seed)
        seen = self.config.train.samples + (step - 1) * self.config.finetune.samples
        return None if before is None else self._cut(name, before, step, row.loss, seed, seen)

    def _scratch(self, row: Row, name: str, seed: int) -> Path | None:
        """The architecture that the last step leaves, from random weights, with as many samples in all."""
        steps = self.config.prune.steps
        pruned = self._course(row, f"prune_{steps}", seed)
        if pruned is None:
            return None
        network = _described(network_from_checkpoint(pruned)[1]["description"])
        return self._train(name, network, row.loss, seed, runs=[self.config.train, *[self.config.finetune] * steps])

    def _prune_first(self, row: Row, name: str, seed: int) -> Path | None:
        """Half of `train` on ground truth, the pruning with ground truth, the other half distilled."""
        half = _halved(self.config.train)
        checkpoint = self._train(f"{name}/unpruned", self._student({}), "ground_truth", seed, runs=[half])
        seen = half.samples
        for step in range(1, self.config.prune.steps + 1):
            if checkpoint is None:
                return None
            checkpoint = self._cut(f"{name}/step{step}", checkpoint, step, "ground_truth", seed, seen)
            seen += self.config.finetune.samples
        if checkpoint is None:
            return None
        network, state = network_from_checkpoint(checkpoint)
        rest = {"initial": network.state_dict(), "first_scene": seen, "runs": [half]}
        return self._train(f"{name}/distilled", state["description"], row.loss, seed, **rest)

    def _cut(self, name: str, before: Path, step: int, loss: str, seed: int, seen: int) -> Path | None:
        network, _ = network_from_checkpoint(before)
        prune_step(network, step, self.config.prune)
        rest = {"initial": network.state_dict(), "first_scene": seen, "runs": [self.config.finetune]}
        return self._train(name, describe_network(network), loss, seed, **rest)


def _described(network: dict[str, Any]) -> dict[str, Any]:
    return describe_network(build_network(network))


def _halved(run: RunConfig) -> RunConfig:
    optim = dataclasses.replace(run.optim, decay_samples=run.optim.decay_samples // 2)
    return dataclasses.replace(run, samples=max(run.samples // 2, optim.batch_size), optim=optim)


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
    config: AblationConfig = read_config(AblationConfig, path)
    return config


def main(values: list[str] | None = None) -> int:
    """Command line; 0 when done, 3 when stopped before the end, 2 and one line on stderr for bad input."""
    parser = Parser("ablate", __doc__)
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "ablate.yaml", help="budget (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablate"), help="folder of the runs (%(default)s)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder of the tables (%(default)s)")
    parser.add_argument("--rehearse", type=at_least_1, metavar="STEPS", help="every row for so many steps, one seed")
    parser.add_argument("--run", metavar="NAME", help="one run of the table alone, by the name of its record")
    parser.add_argument("--so-far", action="store_true", help="run nothing, write the table of what has been run")
    parser.add_run_options()
    arguments = parser.parse_args(values)
    torch.set_num_threads(arguments.threads)
    try:
        config, out = load_ablation_config(arguments.config), arguments.out
        results_folder = arguments.results
        if arguments.rehearse:
            config, out = _rehearsal(config, arguments.rehearse), out.with_name(f"{out.name}-rehearsal")
            results_folder = out
        require_ready(config.data, {"train": config.train, "finetune": config.finetune}, config.validation)
        fabric = open_fabric(arguments.accelerator, config.precision)
        stop = StopRequest(arguments.max_minutes)
        workshop = Workshop(
            out,
            config.data,
            config.validation,
            fabric,
            stop,
            config.precision,
            config.cache_gib,
            config.distinct_scenes,
        )
        teacher = workshop.teacher(config.teacher)
        tables = None if teacher is None else Ablation(config, workshop, teacher, results_folder / "runs")
        if tables is not None and arguments.run:
            record = tables.record(arguments.table, arguments.run)
            print("" if record is None else json.dumps(record["metrics"], indent=1))
            return 3 if record is None else 0
        results = None if tables is None else tables.results(arguments.table, arguments.so_far)
        if results is None and arguments.so_far:
            raise TrainingError(f"{results_folder / 'runs'}: no record of the table, or none of ground truth, seed 0")
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
