from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

SCRIPT = Path(__file__).with_name("distributed_step.py")


def step(out: Path, processes: int, repository: Path) -> dict[str, dict[str, torch.Tensor]]:
    out.mkdir()
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    run = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(out)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    result: dict[str, dict[str, torch.Tensor]] = torch.load(out / "step.pt", weights_only=True)
    return result


def test_two_processes_have_the_gradients_of_one_with_the_same_global_batch_and_end_together(
    tmp_path: Path, repository: Path
) -> None:
    one, two = step(tmp_path / "one", 1, repository), step(tmp_path / "two", 2, repository)
    assert [json.loads((tmp_path / name).read_text())[:2] for name in ("one/0.json", "two/0.json", "two/1.json")] == [
        [False, 1],
        [False, 1],  # stopped though it was not asked itself
        [False, 0],  # did not cut, and has the network all the same
    ]
    assert len({(tmp_path / name).read_text()[-8:] for name in ("one/0.json", "two/0.json", "two/1.json")}) == 1
    ended = "not finite at sample 0 (of samples"
    said = {name: (tmp_path / f"{name}.txt").read_text().split(" [")[0] for name in ("one/0", "two/0", "two/1")}
    assert said == {"one/0": "", "two/0": f"a loss in another process {ended}", "two/1": f"total {ended}"}
    assert one["gradients"].keys() == two["gradients"].keys()
    # In doubles: a rounding that differs between batches of two and of four moves single units across a ReLU's edge.
    for name, gradient in one["gradients"].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(two["gradients"][name], gradient, rtol=1e-8, atol=1e-9 * scale, msg=name)
    for name, buffer in one["buffers"].items():
        torch.testing.assert_close(two["buffers"][name], buffer, rtol=1e-9, atol=1e-9, msg=name)
