"""Stored engines: keys, damage, and two processes that want the same one."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stereo_dp_ros.backends.engine_cache import EngineCache, EngineKey, EngineRecord, cache_folder, model_hash
from stereo_dp_ros.core.errors import BackendError

KEY = EngineKey("corr_m", "ab12", "10.3.0", "Orin", "8.7", "fp16", 640, 480)
RECORD = EngineRecord(KEY, "onnx", {"mean_px": 0.01})
OTHERS = {
    "model_hash": "cd34",
    "tensorrt": "10.7.0",
    "gpu": "Orin Nano",
    "compute_capability": "8.9",
    "precision": "fp32",
    "width_px": 960,
    "height_px": 544,
    "recipe": 99,
}


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def test_what_is_stored_comes_back(cache):
    path = cache.store(b"engine\nof two lines", RECORD)
    assert path.parent == cache.folder and path.name.startswith("corr_m-640x480-fp16-")
    assert cache.load(KEY) == (b"engine\nof two lines", RECORD)
    assert cache.records() == [RECORD]
    assert [item.name for item in cache.folder.iterdir()] == [path.name]


@pytest.mark.parametrize(("name", "value"), OTHERS.items())
def test_every_part_of_the_key_counts(cache, name, value):
    cache.store(b"engine", RECORD)
    other = dataclasses.replace(KEY, **{name: value})
    with pytest.raises(BackendError, match=f"found one for {name} {getattr(KEY, name)} instead of {value}"):
        cache.load(other)


def test_an_engine_copied_from_another_gpu_is_not_taken(cache):
    other = dataclasses.replace(KEY, gpu="Thor", compute_capability="11.0")
    cache.store(b"engine", dataclasses.replace(RECORD, key=other))
    cache.path(other).rename(cache.path(KEY))
    with pytest.raises(BackendError, match="was built for gpu Thor instead of Orin, compute_capability 11.0 instead"):
        cache.load(KEY)


@pytest.mark.parametrize("length", [0, 5, 30, 150, -1])
def test_a_truncated_file_is_told(cache, length):
    path = cache.store(b"engine", RECORD)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BackendError, match=r"truncated\?") as caught:
        cache.load(KEY)
    assert str(path) in str(caught.value)


def test_a_changed_byte_is_told(cache):
    path = cache.store(b"engine", RECORD)
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(BackendError, match="do not match their hash"):
        cache.load(KEY)


def test_files_that_are_no_engines_are_left_out_of_the_list(cache):
    cache.store(b"engine", RECORD)
    (cache.folder / "other.engine").write_bytes(b"\x00\xff" * 40)
    assert cache.records() == [RECORD]


def test_a_failed_write_leaves_the_old_engine_and_no_rest(cache, monkeypatch):
    cache.store(b"old", RECORD)

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BackendError, match=r"cannot be written \(No space left on device\)"):
        cache.store(b"new", RECORD)
    assert cache.load(KEY)[0] == b"old"
    assert len(list(cache.folder.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file" / "engines")
    with pytest.raises(BackendError, match="cannot be written"):
        cache.store(b"engine", RECORD)
    with pytest.raises(BackendError, match="cannot be written"), cache.lock(KEY):
        pass


def test_the_folder_follows_the_users_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/stereo_dp_ros/engines")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/robot")
    assert cache_folder() == Path("/home/robot/.cache/stereo_dp_ros/engines")


def test_another_model_file_is_another_hash(toy):
    files = {name: "0" * 64 for name in toy.manifest.files}
    other = dataclasses.replace(toy, manifest=dataclasses.replace(toy.manifest, files=files))
    assert model_hash(other) != model_hash(toy)


BUILDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import ctypes
from standin_cuda import StandInCuda
from standin_tensorrt import Faults, standin_tensorrt

cuda, load = StandInCuda(), ctypes.CDLL
ctypes.CDLL = lambda name, *a, **k: cuda if name == "libcuda.so.1" else load(name, *a, **k)
sys.modules["tensorrt"] = standin_tensorrt(cuda, 10, Faults())
from stereo_dp_ros.backends.engine_build import build_engine
from stereo_dp_ros.core.models import load_model

print("ready", flush=True)
sys.stdin.readline()
built = build_engine(load_model(Path(sys.argv[1])), (64, 32), precision="fp32", converter="onnx")
print(built.built, built.replaced)
"""


def test_two_processes_that_build_at_once_build_once(toy, tmp_path, repository):
    manifest = toy.onnx_path.with_suffix(".json")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", BUILDER, str(manifest), str(Path(__file__).parent)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = sorted(process.communicate(timeout=120)[0] for process in processes)
    assert answers == ["False None\n", "True None\n"]
