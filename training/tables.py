"""What the ablation tables consist of, and how they are written."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import Any

from training.distill import DistillConfig

__all__ = ["FIGURES", "LOSSES", "TABLES", "Row", "compare", "markdown", "summary"]

LOSSES = {
    "ground_truth": DistillConfig(teacher=0.0, ground_truth=1.0),
    "both": DistillConfig(ground_truth=1.0),
    "teacher": DistillConfig(),
    "kl": DistillConfig(distance="kl"),
}
"""Supervision by name; the teacher's with L1 unless it says otherwise."""


@dataclass(frozen=True)
class Row:
    """One row: the paper's EPE on SceneFlow, fields of `DtpConfig` that differ from setting 3, one of `LOSSES`.

    `course` is how it comes about: "train", or for the pruning table "prune_K" (distilled, then K steps),
    "prune_first" (trained on ground truth, pruned, then distilled) or "scratch". Rows with the same fields, loss and
    course are the same runs, in whatever table they are.
    """

    label: str
    paper_epe: float | None
    config: dict[str, Any] = field(default_factory=dict)
    loss: str = "ground_truth"
    course: str = "train"

    def run_name(self, seed: int) -> str:
        """Name of the row's folder and record."""
        changed = "-".join(f"{name}_{value}" for name, value in sorted(self.config.items())) or "setting_3"
        return f"{changed}-{self.loss}-{self.course}-{seed}"


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
        Row("ground truth + teacher, 1 : 1", 1.61, loss="both"),
        Row("teacher", 1.56, loss="teacher"),
    ],
    "loss": [
        Row("KL", 1.86, loss="kl"),
        Row("L1", 1.78, loss="teacher"),
    ],
    "pruning": [
        Row("distilled, unpruned", None, loss="teacher"),
        *(Row(f"after step {k}", 1.56 if k == 5 else None, loss="teacher", course=f"prune_{k}") for k in range(1, 6)),
        Row("pruned first, then distilled", None, loss="teacher", course="prune_first"),
        Row("pruned architecture from scratch", None, loss="teacher", course="scratch"),
    ],
}

_SEEDS_OF_A_SPREAD = 3  # what says by how much the runs of a row differ

FIGURES = {
    "epe_px": ("validation", "epe"),
    "bad_2_percent": ("validation", "bad_2"),
    "pairs_epe_px": ("pairs", "epe"),
    "pairs_bad_2_percent": ("pairs", "bad_2"),
}
"""What rows are compared by: errors on the validation scenes, and over all pairs, each counting the same."""


def summary(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """`mean` and `sd` over the seeds of each of `FIGURES` that was measured; no `sd` of one seed."""
    errors: dict[str, Any] = {}
    for name, (where, metric) in FIGURES.items():
        values = [value for entry in measured if (value := _error(entry["metrics"], where, metric)) is not None]
        if values:
            errors[name] = {"mean": statistics.mean(values), "sd": statistics.stdev(values) if values[1:] else None}
    return {"errors": errors}


def _error(metrics: dict[str, Any], where: str, metric: str) -> float | None:
    sets = list(metrics.values())
    rows = sets[:1] if where == "validation" else sets[1:]
    scenes = sum(row["scenes"] for row in rows)
    return sum(row["scenes"] * row[metric] for row in rows) / scenes if scenes else None


def compare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row with `worse` of each figure: whether its mean is above the best row's by over two standard errors.

    None for the best row itself. A row of fewer than three seeds is taken to spread as much as the widest one of three
    or more; where there is none, it is False, which says "not resolved". Rows that were not run have no figures.
    """
    compared = [{**row, "worse": {}} for row in rows]
    measured = [row for row in compared if row["seeds"]]
    for name in FIGURES:
        those = [row for row in measured if name in row["errors"]]
        spreads = [row["errors"][name]["sd"] for row in those if len(row["seeds"]) >= _SEEDS_OF_A_SPREAD]
        if not those:
            continue
        best = min(those, key=lambda row: float(row["errors"][name]["mean"]))
        for row in those:
            apart = row["errors"][name]["mean"] - best["errors"][name]["mean"]
            errors = [_standard_error(one, name, spreads) for one in (row, best)]
            row["worse"][name] = None if row is best else apart > 2 * math.hypot(*errors)
    return compared


def _standard_error(row: dict[str, Any], name: str, spreads: list[float]) -> float:
    if not spreads:
        return math.inf
    count = len(row["seeds"])
    spread = row["errors"][name]["sd"] if count >= _SEEDS_OF_A_SPREAD else max(spreads)
    return float(spread) / math.sqrt(count)


def markdown(results: dict[str, Any]) -> str:
    """The table as it is committed."""
    budget, rows = results["budget"], results["rows"]
    measured = [row for row in rows if row["seeds"]]
    counts = sorted({len(row["seeds"]) for row in measured})
    partial = " --so-far" if any(len(row["seeds"]) < counts[-1] for row in rows) else ""
    seeds = [entry for row in rows for entry in row["seeds"]]
    devices = sorted({entry["device"] for entry in seeds})
    commits = sorted({entry["commit"][:7] + "+" * entry["commit"].endswith("+") for entry in seeds})
    figures = list(measured[0]["errors"])
    titles = [
        "",
        "paper's EPE",
        "seeds",
        *(_TITLES[name] for name in figures),
        "parameters",
        "MACs at 640x480",
        "latency ms",
    ]
    for_steps = f" and {budget['finetune']['samples']} for each pruning step" if results["table"] == "pruning" else ""
    lines = [
        f"# {results['table']}",
        "",
        f"`python -m training.ablate {results['table']}{partial}`, trained at commit {', '.join(commits)}"
        " (+: changed).",
        f"{budget['train']['samples']} samples a run{for_steps}, {' or '.join(map(str, counts))} seeds a row,"
        f" D = {budget['max_disparity_px']}; {'; '.join(devices)}. EPE in px and bad-2.0 in %, mean ± standard"
        " deviation over the seeds: the best bold, the others worse by more than two standard errors, or"
        ' "not resolved"; fewer than three seeds are taken to spread as the widest of the other rows do.'
        " The paper's EPE is on SceneFlow with D = 192.",
        "",
        results["teacher_line"],
        "",
        f"| {' | '.join(titles)} |",
        f"|{'---|' * len(titles)}",
    ]
    for row in rows:
        cells = [row["label"], "" if row["paper_epe"] is None else f"{row['paper_epe']:.2f}", str(len(row["seeds"]))]
        if not row["seeds"]:
            lines.append(f"| {' | '.join(cells)} | not run |{' |' * (len(titles) - len(cells) - 1)}")
            continue
        one = row["seeds"][0]
        cells += [_cell(row["errors"][name], row["worse"][name]) for name in figures]
        cells += [f"{one['parameters'] / 1e6:.3f} M", f"{one['macs_640x480'] / 1e9:.2f} G", f"{one['latency_ms']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_TITLES = {
    "epe_px": "EPE, scenes",
    "bad_2_percent": "bad-2.0, scenes",
    "pairs_epe_px": "EPE, pairs",
    "pairs_bad_2_percent": "bad-2.0, pairs",
}


def _cell(error: dict[str, float | None], worse: bool | None) -> str:
    text = f"{error['mean']:.2f}" + ("" if error["sd"] is None else f" ± {error['sd']:.2f}")
    return {None: f"**{text}**", True: text, False: f"{text}, not resolved"}[worse]
