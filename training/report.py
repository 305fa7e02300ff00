"""A pipeline's record as Markdown, and whether its teacher was good enough for the rest to count."""

from __future__ import annotations

from typing import Any

__all__ = ["report", "teacher_verdict"]

MARGIN = 0.10
"""A teacher must have an error lower by this share than the student trained on ground truth alone."""

ASIDE = ("export", "evaluate")


def teacher_verdict(stages: dict[str, Any]) -> tuple[bool, str]:
    """Whether distillation results count, and the line that says why, for every set that was measured.

    The student trained on ground truth alone is the stage `ground_truth`, or the model that a pipeline began with.
    """
    student = "ground_truth" if "ground_truth" in stages else "initial"
    teacher, baseline = (stages.get(name, {}).get("metrics") for name in ("teacher", student))
    if not teacher or not baseline:
        return False, "Distillation results do not count: teacher and ground-truth student were not both measured."
    parts, enough = [], True
    for name in sorted(set(teacher) & set(baseline)):
        of_teacher, of_student = teacher[name]["epe"], baseline[name]["epe"]
        gain = 1.0 - of_teacher / of_student
        enough = enough and gain >= MARGIN
        parts.append(f"{name} {of_teacher:.3f} px against {of_student:.3f} px ({100 * gain:+.1f} %)")
    if set(teacher) <= {"procedural"}:
        enough = False
        parts.append("no real pairs measured")
    counts = "count" if enough else "do not count"
    limit = f"teacher's error lower than the ground-truth student's by {100 * MARGIN:.0f} % everywhere"
    return enough, f"Distillation results {counts} ({limit}): EPE {', '.join(parts)}."


def report(record: dict[str, Any]) -> str:
    """Table of the stages: size, cost, latency, error by set."""
    stages = {name: entry for name, entry in record["stages"].items() if "parameters" in entry}
    sets = list(dict.fromkeys(name for entry in stages.values() for name in entry["metrics"]))
    columns = ["stage", "samples", "parameters", "MACs at 640x480", "latency ms"]
    columns += [f"{name} {figure}" for name in sets for figure in ("EPE px", "bad-2.0 %")]
    lines = [
        f"# {record['name']}",
        "",
        teacher_verdict(record["stages"])[1],
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for name, entry in stages.items():
        cells = [
            name,
            f"{entry['samples']}",
            f"{entry['parameters'] / 1e6:.3f} M",
            f"{entry['macs_640x480'] / 1e9:.2f} G",
        ]
        cells.append(f"{entry['latency_ms']:.1f}")
        for set_name in sets:
            row = entry["metrics"].get(set_name)
            cells += [f"{row['epe']:.3f}", f"{row['bad_2']:.2f}"] if row else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    sizes = sorted({entry["latency_size"] for entry in stages.values()})
    lines += ["", f"Latency: median, {', '.join(sizes)}, on the machine that ran the stage."]
    return "\n".join(lines) + "\n"
