"""What the ablation tables consist of, and how they are written."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import Any

from training.distill import DistillConfig

__all__ = ["LOSSES", "TABLES", "Row", "compare", "markdown", "summary"]

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
        Row("ground truth + teacher", 1.61, loss="both"),
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


def summary(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of the EPE on the first measured set."""
    values = [next(iter(entry["metrics"].values()))["epe"] for entry in measured]
    return {"epe_mean": statistics.mean(values), "epe_sd": statistics.stdev(values) if len(values) > 1 else None}


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
    budget = results["budget"]
    devices = sorted({entry["device"] for row in results["rows"] for entry in row["seeds"]})
    lines = [
        f"# {results['table']}",
        "",
        f"{budget['train']['samples']} samples a row, {len(results['rows'][0]['seeds'])} seeds, D ="
        f" {budget['max_disparity_px']}; {'; '.join(devices)}. EPE in px on procedural validation scenes, mean ±"
        " standard deviation over the seeds; the paper's is on SceneFlow with D = 192.",
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
