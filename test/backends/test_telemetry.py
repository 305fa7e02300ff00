"""The runtimes neither report their use nor leave identifiers in HOME."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from toy_model import write_toy_model

INFER = """
import sys
import numpy as np
from stereo_dp_ros.backends import load_estimator
pair = np.zeros((64, 128, 3), np.uint8)
load_estimator(sys.argv[1], sys.argv[2]).infer(pair, pair)
"""


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_an_inference_leaves_home_empty(name, tmp_path, repository):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run(
        [sys.executable, "-c", INFER, str(write_toy_model(tmp_path)), name],
        env={**environment, "HOME": str(home)},
        cwd=repository,
        check=True,
    )
    assert list(home.rglob("*")) == []


def test_a_backend_imported_by_itself_leaves_home_empty(tmp_path, repository):
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    subprocess.run(
        [sys.executable, "-c", "import stereo_dp_ros.backends.openvino_backend"],
        env={**environment, "HOME": str(tmp_path)},
        cwd=repository,
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
