"""Engines that were built on this machine, in the user's cache folder.

An engine runs only with the TensorRT version and on the GPU that it was built for. Its key holds all that it
depends on; another key is another file, so that an engine of another GPU or model is never picked up. A file is a line
of magic, a line of JSON (key, hash, figures of the comparison it passed) and the engine's bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["EngineCache", "EngineKey", "EngineRecord", "cache_folder", "model_hash"]

_MAGIC = b"stereo_dp_ros engine 1\n"
# Raised when engines are built otherwise from the same files, so that older ones are built again.
_RECIPE = 1


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on."""

    model: str
    model_hash: str
    tensorrt: str
    gpu: str
    compute_capability: str
    precision: str
    width_px: int
    height_px: int
    recipe: int = _RECIPE

    @property
    def file_name(self) -> str:
        """A name that people can read, and a digest of the whole key."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in self.model)
        return f"{name}-{self.width_px}x{self.height_px}-{self.precision}-{digest}.engine"

    def difference(self, other: EngineKey) -> str:
        """Where `other` differs, in words; empty if it does not."""
        pairs = [(f.name, getattr(other, f.name), getattr(self, f.name)) for f in fields(self)]
        return ", ".join(f"{name} {found} instead of {wanted}" for name, found, wanted in pairs if found != wanted)


@dataclass(frozen=True)
class EngineRecord:
    """What is known of a stored engine.

    Attributes
    ----------
    converter
        Who built it: `onnx` or `torch2trt`.
    figures
        Of the comparison with ONNX Runtime on the CPU that the engine passed.
    """

    key: EngineKey
    converter: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/stereo_dp_ros/engines, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "stereo_dp_ros" / "engines"


def model_hash(model: Model) -> str:
    """One hash over the model's files, from the hashes in its manifest."""
    return hashlib.sha256(json.dumps(dict(model.manifest.files), sort_keys=True).encode()).hexdigest()


class EngineCache:
    """Stored engines of a folder; by default the user's."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() if folder is None else folder

    def path(self, key: EngineKey) -> Path:
        """Where the engine of this key is, or would be."""
        return self.folder / key.file_name

    def records(self) -> list[EngineRecord]:
        """What is stored, by file name; files that cannot be read are left out."""
        found = []
        for path in sorted(self.folder.glob("*.engine")):
            with contextlib.suppress(BackendError):
                found.append(_read_header(path)[0])
        return found

    def load(self, key: EngineKey, argument: str | None = None) -> tuple[bytes, EngineRecord]:
        """The engine and its record.

        Parameters
        ----------
        argument
            What `--model` takes for the model, for the command that builds the engine; its name if left out.

        Raises
        ------
        BackendError
            There is none, or its file is damaged; the message says what was found.
        """
        path = self.path(key)
        if not path.is_file():
            raise BackendError(self._missing(key, argument or key.model))
        record, sha256, start = _read_header(path)
        if difference := key.difference(record.key):
            raise BackendError(f"{path}: was built for {difference}")
        engine = path.read_bytes()[start:]
        if hashlib.sha256(engine).hexdigest() != sha256:
            raise BackendError(f"{path}: its {len(engine)} bytes of engine do not match their hash (truncated?)")
        return engine, record

    def store(self, engine: bytes, record: EngineRecord) -> Path:
        """Write an engine; readers see the old file or the new one, never a part. Returns its path."""
        header = {**asdict(record), "sha256": hashlib.sha256(engine).hexdigest()}
        path = self.path(record.key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=f".{path.name}.")
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_MAGIC + json.dumps(header).encode() + b"\n" + engine)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise BackendError(f"{path}: cannot be written ({error.strerror})") from error
        return path

    @contextlib.contextmanager
    def lock(self, key: EngineKey) -> Iterator[None]:
        """Held by one process at a time for each key; the system frees it if that process dies."""
        path = self.path(key).with_suffix(".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except OSError as error:
            raise BackendError(f"{path}: cannot be written ({error.strerror})") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _missing(self, key: EngineKey, argument: str) -> str:
        wanted = f"no {key.precision} engine of {key.model} for {key.width_px}x{key.height_px}"
        others = [key.difference(r.key) for r in self.records() if r.key.model == key.model]
        found = f"; found one for {'; one for '.join(others)}" if others else ""
        size, precision = f"{key.width_px}x{key.height_px}", key.precision
        # The network's size, not the camera's, which --size would scale as the manifest says.
        command = f"stereo-dp build-engine --model {shlex.quote(argument)}"
        command += f" --precision {precision} --inference-size {size}"
        return f"{wanted} in {self.folder}{found} (build it: {command})"


def _read_header(path: Path) -> tuple[EngineRecord, str, int]:
    """Record, hash of the engine, and the offset at which the engine starts."""
    try:
        with path.open("rb") as file:
            magic, line = file.readline(len(_MAGIC)), file.readline(1 << 20)
            start = file.tell()
    except OSError as error:
        raise BackendError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        header: dict[str, Any] = json.loads(line) if magic == _MAGIC and line.endswith(b"\n") else {}
        return EngineRecord(EngineKey(**header["key"]), header["converter"], header["figures"]), header["sha256"], start
    except (ValueError, TypeError, KeyError) as error:
        raise BackendError(f"{path}: is no engine file (truncated?)") from error
