"""A signal still reaches its handler after runtimes have come and gone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from stereo_dp_ros.backends import BACKENDS
from toy_model import write_toy_model

SIGNAL = """
import signal, sys
import numpy as np
from stereo_dp_ros.backends import load_estimator
pair = np.zeros((64, 128, 3), np.uint8)
first, second = (load_estimator(sys.argv[1], sys.argv[2]) for _ in range(2))
first.infer(pair, pair), second.infer(pair, pair)
del first
del second
signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.parametrize("name", [info.name for info in BACKENDS if info.name in ("openvino", "onnxruntime")])
def test_a_signal_is_handled_after_two_runtimes_were_freed(name, tmp_path, repository):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    run = subprocess.run(
        [sys.executable, "-c", SIGNAL, str(write_toy_model(tmp_path)), name], cwd=repository, check=False
    )
    assert run.returncode == 7
