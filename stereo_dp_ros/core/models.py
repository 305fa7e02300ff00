"""The models that ship with the package, and a user's own: manifests, and the check of their files.

A model is a JSON manifest with the files it names beside it. The manifest gives each file's SHA-256; loading
compares them, so that a truncated download or a swapped file is told before a runtime sees it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.core.preprocessing import SCALES, Preprocessing

__all__ = [
    "DEFAULT_MODEL",
    "INT8_SUFFIX",
    "MODELS_DIR",
    "Manifest",
    "Model",
    "list_models",
    "load_model",
    "read_manifest",
]

MODELS_DIR = Path(__file__).resolve().parent.parent / "models"
DEFAULT_MODEL = "corr_m_p50"
INT8_SUFFIX = ".int8.onnx"


@dataclass(frozen=True)
class Manifest:
    """What a model's JSON says. Only the first four fields are needed to run it; the rest is its record.

    Attributes
    ----------
    size_multiple
        Width and height of the network's input are multiples of this many px.
    max_disparity_px
        Largest disparity that the network can answer, in px of its input.
    scale
        Images are resized so many times along each side before the network (`Preprocessing.plan`).
    min_area_px
        Images that would have fewer pixels then are enlarged to about this many; 0 for never.
    files
        File name → SHA-256 in hexadecimal. One of them is the `.onnx`; an `.int8.onnx` beside it is the same network
        with 8-bit convolutions, for runtimes that are fast with it.
    network
        Type, configuration and channel table from which `networks` rebuilds it.
    training
        Data, command, commit, steps, samples, seconds, device, date.
    metrics
        Set → {epe, bad_2, …} as measured when the model was exported.
    """

    name: str
    size_multiple: int
    max_disparity_px: float
    files: Mapping[str, str]
    network: Mapping[str, Any] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)
    outputs: Any = None
    precision: str = "fp32"
    scale: float = 1.0
    min_area_px: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    macs_640x480: int | None = None

    def plan(self, image_size: tuple[int, int], network_size: tuple[int, int] | None = None) -> Preprocessing:
        """How images of (width, height) px are fitted to the network; `network_size` is what the user chose."""
        return Preprocessing.plan(image_size, self.size_multiple, network_size, self.scale, self.min_area_px)


@dataclass(frozen=True)
class Model:
    """A model whose files were found and whose hashes match.

    Attributes
    ----------
    directory
        Where its files are.
    path
        Its manifest, None for one that is in memory only.
    """

    manifest: Manifest
    directory: Path
    path: Path | None = None

    @property
    def name(self) -> str:
        """The model's name, as in the manifest."""
        return self.manifest.name

    @property
    def argument(self) -> str:
        """What `--model` takes for it: the name of one that ships, the manifest's path of a user's."""
        return self.name if self.path is None or self.path.parent == MODELS_DIR else str(self.path.absolute())

    @property
    def onnx_path(self) -> Path:
        """The ONNX file in floating point."""
        return self.file_with_suffix(".onnx")

    @property
    def int8_path(self) -> Path | None:
        """The ONNX file with 8-bit convolutions, if the model has one."""
        return next((self.directory / name for name in self.manifest.files if name.endswith(INT8_SUFFIX)), None)

    def file_with_suffix(self, suffix: str) -> Path:
        """The first file of the manifest with this suffix, 8-bit ones aside; raises ModelError if there is none."""
        for name in _with_suffix(self.manifest.files, suffix):
            return self.directory / name
        raise ModelError(f"model {self.name} has no {suffix} file, its manifest lists {_listed(self.manifest.files)}")


def list_models() -> list[str]:
    """Names of the models that ship with the package, the default first."""
    names = sorted(path.stem for path in MODELS_DIR.glob("*.json"))
    return sorted(names, key=lambda name: name != DEFAULT_MODEL)


def load_model(name_or_path: str | Path = "default") -> Model:
    """A shipped model by name ("default" for the default one), or a user's by the path of its manifest.

    Raises
    ------
    ModelError
        No such model (the message lists those there are), a manifest that cannot be read, or a file that is
        missing or has another SHA-256 than the manifest gives.
    """
    path = _manifest_path(name_or_path)
    manifest = read_manifest(path)
    for file_name, expected in manifest.files.items():
        _require_hash(path.parent / file_name, expected)
    return Model(manifest, path.parent, path)


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`, without looking at the model's files."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ModelError(f"{path}: is not JSON ({error}), expected a model manifest") from error
    required = ("name", "size_multiple", "max_disparity_px", "files")
    missing = [key for key in required if not isinstance(content, dict) or key not in content]
    if missing:
        raise ModelError(f"{path}: lacks {', '.join(missing)}, expected at least {', '.join(required)}")
    if not isinstance(content["files"], dict) or not _with_suffix(content["files"], ".onnx"):
        raise ModelError(f"{path}: files lists no .onnx, expected {{file name: SHA-256}}")
    multiple, limit = content["size_multiple"], content["max_disparity_px"]
    if not isinstance(multiple, int) or multiple <= 0:
        raise ModelError(f"{path}: size_multiple is {multiple!r}, expected a whole number above 0")
    if not isinstance(limit, (int, float)) or not 0 < limit < float("inf"):
        raise ModelError(f"{path}: max_disparity_px is {limit!r}, expected a number above 0")
    scale, (least, most) = content.get("scale", 1.0), SCALES
    if not isinstance(scale, (int, float)) or not least <= scale <= most:
        raise ModelError(f"{path}: scale is {scale!r}, expected a number in {least:g}…{most:g}")
    area = content.get("min_area_px", 0)
    if not isinstance(area, int) or area < 0:
        raise ModelError(f"{path}: min_area_px is {area!r}, expected a whole number, 0 or more")
    known = {item.name for item in fields(Manifest)}
    return Manifest(**{key: value for key, value in content.items() if key in known})


def _with_suffix(names: Iterable[str], suffix: str) -> list[str]:
    return [name for name in names if name.endswith(suffix) and not name.endswith(INT8_SUFFIX)]


def _manifest_path(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if text == "default":
        text = DEFAULT_MODEL
    path = Path(text).expanduser()
    if path.suffix == ".json" or "/" in text:
        if path.suffix == ".onnx":
            path = path.with_suffix(".json")
        if not path.is_file():
            raise ModelError(f"{path}: no such file, expected a model's manifest (.json beside its .onnx)")
        return path
    shipped = MODELS_DIR / f"{text}.json"
    if not shipped.is_file():
        raise ModelError(
            f"no model is named {text!r}, there are {_listed(list_models())}; or give the path of a manifest"
        )
    return shipped


def _require_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ModelError(f"{path}: no such file, expected it beside the model's manifest")
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if digest.hexdigest() != expected:
        raise ModelError(
            f"{path}: SHA-256 of its {path.stat().st_size} bytes is {digest.hexdigest()[:12]}…, the manifest "
            f"expects {expected[:12]}… (truncated or changed?)"
        )


def _listed(names: object) -> str:
    return ", ".join(str(name) for name in names) or "none"  # type: ignore[attr-defined]
