"""What a training run is: frozen dataclasses, read from YAML, where an unknown field is an error."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stereo_dp_ros.core.errors import StereoDpError
from training.errors import TrainingError

__all__ = [
    "DataConfig",
    "LossConfig",
    "OptimConfig",
    "TrainConfig",
    "load_config",
    "parse_config",
    "read_config",
    "to_dict",
]


@dataclass(frozen=True)
class DataConfig:
    """Where samples come from.

    Attributes
    ----------
    source
        "procedural" (the scene generator), or a data set in files (`training.sources.READERS`).
    scene
        Fields of the generator's `SceneConfig` that differ from its defaults.
    root
        Folder of a data set in files.
    crop_height_px, crop_width_px
        Size of a training sample, multiples of 32.
    workers
        Processes that render; 0 renders in the training process.
    enlargement
        Crops are cut smaller by a factor between 1 and this, and enlarged, as a manifest's `enlargement` does in use.
    reuse
        How often each scene is used, in other crops; a divisor of the batch size.
    renderer
        Of procedural scenes: "numpy" renders them in the workers; "torch" rasterizes batches of them, and applies
        their nuisances, on the device that trains. The same scenes up to rounding.
    """

    source: str = "procedural"
    scene: dict[str, Any] = field(default_factory=dict)
    root: str = ""
    crop_height_px: int = 256
    crop_width_px: int = 512
    workers: int = 2
    enlargement: float = 1.0
    reuse: int = 1
    renderer: str = "numpy"


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms (see `training.losses`)."""

    distribution: float = 1.0
    disparity: float = 0.5
    disparity_coarse: float = 0.25


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule, counted in samples: warm-up, constant, and at the end a linear decay to zero."""

    batch_size: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup_samples: int = 1000
    decay_samples: int = 0
    clip_norm: float = 5.0
    ema_decay: float = 0.999

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}, expected {said}"
            for name, said, fits in (
                ("batch_size", "at least 1", self.batch_size >= 1),
                ("learning_rate", "above 0", 0.0 < self.learning_rate < math.inf),
                ("weight_decay", "at least 0", 0.0 <= self.weight_decay < math.inf),
                ("warmup_samples", "at least 0", self.warmup_samples >= 0),
                ("decay_samples", "at least 0", self.decay_samples >= 0),
                ("clip_norm", "above 0", self.clip_norm > 0.0),
                ("ema_decay", "0 to 1", 0.0 <= self.ema_decay <= 1.0),
            )
            if not fits
        ]
        if problems:
            raise TrainingError(f"optim: {'; '.join(problems)}")


@dataclass(frozen=True)
class TrainConfig:
    """A run of `training.train`.

    Attributes
    ----------
    seed
        Of random weights, crops and the order of a data set in files; not of procedural scenes.
    first_scene
        Scene of the first sample: a run that goes on with a finished model begins where that one's scenes ended.
    """

    network: dict[str, Any]
    samples: int
    seed: int = 0
    precision: str = "bf16-mixed"
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    first_scene: int = 0

    def __post_init__(self) -> None:
        for name, value in (
            ("seed", self.seed),
            ("first_scene", self.first_scene),
            ("data.workers", self.data.workers),
        ):
            if value < 0:
                raise TrainingError(f"{name} is {value}; expected at least 0")
        if self.samples < self.optim.batch_size:
            raise TrainingError(f"samples is {self.samples}; expected at least a batch ({self.optim.batch_size})")
        if self.optim.decay_samples > self.samples:
            raise TrainingError(
                f"optim.decay_samples is {self.optim.decay_samples}; expected at most samples ({self.samples})"
            )
        if self.data.reuse < 1 or self.optim.batch_size % self.data.reuse:
            raise TrainingError(
                f"data.reuse is {self.data.reuse}; expected a divisor of optim.batch_size ({self.optim.batch_size})"
            )
        if self.data.enlargement < 1:
            raise TrainingError(f"data.enlargement is {self.data.enlargement}; expected 1 or more")
        if self.data.renderer not in ("numpy", "torch"):
            raise TrainingError(f"data.renderer is {self.data.renderer!r}; expected 'numpy' or 'torch'")
        if self.data.renderer == "torch" and (self.data.source != "procedural" or self.data.reuse > 1):
            raise TrainingError("data.renderer is 'torch'; expected source 'procedural' and reuse 1 with it")
        for name in ("crop_height_px", "crop_width_px"):
            size = getattr(self.data, name)
            if size <= 0 or size % 32:
                raise TrainingError(f"data.{name} is {size}; expected a positive multiple of 32")


def parse_config(cls: type[Any], values: Any, where: str = "") -> Any:
    """Build the dataclass `cls` from a mapping; a TrainingError names fields that are unknown, missing or mistyped."""
    if not isinstance(values, dict):
        raise TrainingError(f"{where or 'config'} is {values!r}; expected a mapping")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = [f"{where}{name}" for name in values if name not in fields]
    if unknown:
        raise TrainingError(f"unknown config fields: {', '.join(unknown)}; there are: {', '.join(fields)}")
    missing = [
        f"{where}{name}"
        for name, f in fields.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise TrainingError(f"missing config fields: {', '.join(missing)}")
    return cls(**{name: _parse_value(hints[name], value, f"{where}{name}") for name, value in values.items()})


def _parse_value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return parse_config(typing.cast(type, hint), value, f"{where}.")
    inner = typing.get_args(hint)
    if inner and dataclasses.is_dataclass(inner[-1]):
        if isinstance(value, list) and typing.get_origin(hint) is list:
            return [_parse_value(inner[-1], item, f"{where}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, dict) and typing.get_origin(hint) is dict:
            return {name: _parse_value(inner[-1], item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(hint, types.GenericAlias) or typing.get_origin(hint) is dict:
        hint = typing.get_origin(hint)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise TrainingError(f"config field {where} is {value!r}; expected {hint.__name__}")
    return value


def read_config(cls: type[Any], path: Path) -> Any:
    """Read a YAML file into the dataclass `cls`; a TrainingError names the file and the field."""
    try:
        return parse_config(cls, yaml.safe_load(path.read_text()))
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error
    except (StereoDpError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: {' '.join(str(error).split())}") from error


def load_config(path: Path) -> TrainConfig:
    """The run in a YAML file, as `read_config`."""
    config: TrainConfig = read_config(TrainConfig, path)
    return config


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """Plain types, as written beside a checkpoint; `parse_config` reads them back."""
    return dataclasses.asdict(config)
