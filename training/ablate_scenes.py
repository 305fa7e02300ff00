"""Which features of the scenes help on real images: `python -m training.ablate_scenes [--only sticks,lamp]`.

A small network is trained on scenes with all features, and again without each of them; a feature stays if its absence
raises the bad-2.0 on the real pairs, pooled over all of them, by more than the spread of two seeds. Goes on where it
was left (`--max-minutes`): a finished run leaves a record in `training/results/runs/` and is not run again.
`--rehearse 20` runs every row for 20 steps in a folder of its own: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.evaluation import set_rows
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from training.checkpoint import differences
from training.command import Parser, at_least_1
from training.config import DataConfig, OptimConfig, TrainConfig, read_config
from training.data.composer import FAMILIES, FEATURES
from training.data.nuisances import NUISANCES
from training.errors import TrainingError
from training.evaluate import evaluate_pairs, network_from_checkpoint
from training.processes import open_fabric
from training.sources import LaterScenes, build_scenes, scene_config
from training.train import StopRequest
from training.trainer import Trainer

__all__ = ["ROWS", "SceneAblationConfig", "main", "markdown", "verdicts"]

ROOT = Path(__file__).resolve().parent
EVERYTHING = "everything"
DETAIL = "detail"
"""The row whose scenes are composed at the size they are shown at, `SceneConfig.detail` of 1."""
ROWS = (EVERYTHING, DETAIL, *FEATURES, *NUISANCES, "vertical error", *FAMILIES)


@dataclass(frozen=True)
class SceneAblationConfig:
    """Budget: every row is `network` trained on as many samples; seed k begins at scene k · `samples`."""

    network: dict[str, Any]
    data: DataConfig
    samples: int
    pairs: str
    seeds: int = 2
    precision: str = "bf16-mixed"
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        if self.data.source != "procedural":
            raise TrainingError(f"data.source is {self.data.source!r}; expected 'procedural'")
        if self.seeds < 2:
            raise TrainingError(f"seeds is {self.seeds}; expected at least 2, whose spread is the yardstick")
        scene_config(self.data)

    def run(self, row: str, seed: int) -> TrainConfig:
        """Training of a row with one seed."""
        scene = dict(self.data.scene)
        if row == DETAIL:
            scene["detail"] = [1.0, 1.0]
        elif row != EVERYTHING:
            scene["without"] = [*scene.get("without", []), row]
        data = dataclasses.replace(self.data, scene=scene)
        return TrainConfig(self.network, self.samples, seed, self.precision, data, optim=self.optim)

    def budget(self) -> dict[str, Any]:
        """What a run's figure depends on, in JSON types."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        del plain["seeds"]
        plain["data"].pop("workers")
        return plain


@dataclass(frozen=True)
class Runs:
    """Runs of a config in one folder, and the records of finished ones in another."""

    config: SceneAblationConfig
    out: Path
    records: Path
    pairs: list[PairFolder]
    fabric: Fabric
    should_stop: Callable[[], bool]

    def record(self, row: str, seed: int) -> dict[str, Any] | None:
        """A run's record: kept, or after the run; None if that was stopped before its end."""
        path = self.records / f"scenes-{row.replace(' ', '_')}-{seed}.json"
        if path.exists():
            kept: dict[str, Any] = json.loads(path.read_text())
            changed = differences(kept["budget"], self.config.budget())
            if changed:
                raise TrainingError(f"{path}: made otherwise: {'; '.join(changed)}; delete it and it is run anew")
            return kept
        checkpoint = self._train(row, seed)
        if checkpoint is None:
            return None
        network, state = network_from_checkpoint(checkpoint)
        rows = set_rows(evaluate_pairs(network, self.pairs))
        count = sum(row["scenes"] for row in rows)
        record = {
            "row": row,
            "seed": seed,
            "bad_2": sum(row["bad_2"] * row["scenes"] for row in rows) / count,
            "epe": sum(row["epe"] * row["scenes"] for row in rows) / count,
            "sets": {row["name"]: {name: row[name] for name in ("scenes", "epe", "bad_2")} for row in rows},
            **{name: state[name] for name in ("samples", "seconds", "device", "commit")},
            "budget": self.config.budget(),
        }
        self.records.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")
        return record

    def _train(self, row: str, seed: int) -> Path | None:
        if self.should_stop():
            return None
        config = self.config.run(row, seed)
        scenes = LaterScenes(build_scenes(config.data, seed), seed * config.samples)
        trainer = Trainer(config, scenes, self.out / row.replace(" ", "_") / str(seed), self.fabric)
        if trainer.sample + config.optim.batch_size <= config.samples:
            trainer.run(self.should_stop)
        if trainer.sample + config.optim.batch_size <= config.samples:
            return None
        return trainer.checkpoint_path


def verdicts(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row each: `bad_2` of its seeds, `gain` (its mean less that with everything) and `stays`.

    `stays` is whether the gain is more than the larger spread of the seeds of the two rows; None for the row with
    everything.
    """
    by_row: dict[str, list[float]] = {}
    for record in records:
        by_row.setdefault(record["row"], []).append(record["bad_2"])
    whole = by_row[EVERYTHING]
    rows = []
    for name in sorted(by_row, key=ROWS.index):
        values = by_row[name]
        gain = statistics.mean(values) - statistics.mean(whole)
        spread = max(max(values) - min(values), max(whole) - min(whole))
        stays = None if name == EVERYTHING else gain > spread
        rows.append({"row": name, "bad_2": values, "gain": gain, "spread": spread, "stays": stays})
    return rows


def markdown(rows: list[dict[str, Any]], config: SceneAblationConfig, devices: list[str]) -> str:
    """The table as it is committed."""
    lines = [
        "# scenes",
        "",
        f"{config.samples} samples a run; {'; '.join(devices)}. Bad-2.0 in percent, mean over the real pairs of"
        f" {config.pairs}.",
        "A feature stays if without it the mean is higher by more than the larger spread of the seeds of the two rows.",
        "",
        "| without | bad-2.0 of each seed | rises by | spread | stays |",
        "|---|---|---|---|---|",
    ]
    said = {None: "", True: "yes", False: "not shown to help"}
    for row in rows:
        name = "nothing" if row["row"] == EVERYTHING else row["row"]
        values = ", ".join(f"{value:.2f}" for value in row["bad_2"])
        lines.append(f"| {name} | {values} | {row['gain']:+.2f} | {row['spread']:.2f} | {said[row['stays']]} |")
    return "\n".join(lines) + "\n"


def _rehearsal(config: SceneAblationConfig, steps: int) -> SceneAblationConfig:
    optim = dataclasses.replace(config.optim, decay_samples=0)
    return dataclasses.replace(config, samples=steps * config.optim.batch_size, optim=optim)


def _chosen(names: str | None) -> list[str]:
    if names is None:
        return list(ROWS)
    chosen = [name.strip() for name in names.split(",")]
    unknown = [name for name in chosen if name not in ROWS]
    if unknown:
        raise TrainingError(f"--only {', '.join(unknown)}: expected some of {', '.join(ROWS[1:])}")
    return [EVERYTHING, *(name for name in chosen if name != EVERYTHING)]


def _arguments(values: list[str] | None) -> argparse.Namespace:
    parser = Parser("ablate_scenes", __doc__)
    configs = ROOT / "configs"
    parser.add_argument("--config", type=Path, default=configs / "ablate_scenes.yaml", help="budget (%(default)s)")
    parser.add_argument("--only", metavar="FEATURES", help="these features, separated by commas, and everything")
    parser.add_argument("--out", type=Path, default=Path("runs/ablate_scenes"), help="folder of the runs (%(default)s)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder of the table (%(default)s)")
    parser.add_argument("--rehearse", type=at_least_1, metavar="STEPS", help="every row for so many steps, on one pair")
    parser.add_run_options()
    return parser.parse_args(values)


def main(values: list[str] | None = None) -> int:
    """Command line; 0 when done, 3 when stopped before the end, 2 and one line on stderr for bad input."""
    arguments = _arguments(values)
    torch.set_num_threads(arguments.threads)
    out, results = arguments.out, arguments.results
    try:
        config: SceneAblationConfig = read_config(SceneAblationConfig, arguments.config)
        chosen = _chosen(arguments.only)
        pairs = find_pairs(Path(config.pairs))
        if arguments.rehearse:
            config, pairs = _rehearsal(config, arguments.rehearse), pairs[:1]
            out = results = out.with_name(f"{out.name}-rehearsal")
        fabric = open_fabric(arguments.accelerator, config.precision)
        runs = Runs(config, out, results / "runs", pairs, fabric, StopRequest(arguments.max_minutes))
        records = []
        for row in chosen:
            for seed in range(config.seeds):
                record = runs.record(row, seed)
                if record is None:
                    return 3
                records.append(record)
    except StereoDpError as error:
        print(f"training.ablate_scenes: {error}", file=sys.stderr)
        return 2
    rows = verdicts(records)
    text = markdown(rows, config, sorted({record["device"] for record in records}))
    (results / "scenes.json").write_text(json.dumps({"rows": rows, "budget": config.budget()}, indent=1) + "\n")
    (results / "scenes.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
