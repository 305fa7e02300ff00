"""What a node holds from configure to cleanup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stereo_dp_ros.ros.camera import CameraInfos
from stereo_dp_ros.ros.conversions import ImageDecoder
from stereo_dp_ros.ros.outputs import Outputs
from stereo_dp_ros.ros.parameters import NodeParameters
from stereo_dp_ros.ros.pipeline import Estimator, Pipeline
from stereo_dp_ros.ros.run import InputTopics

__all__ = ["Configured"]


@dataclass
class Configured:
    """Made by configuring, freed by cleaning up."""

    parameters: NodeParameters
    topics: InputTopics
    estimator: Estimator
    decoder: ImageDecoder
    outputs: Outputs
    infos: CameraInfos
    pipeline: Pipeline

    def runtimes(self, synchronizer: str | None) -> dict[str, object]:
        """What does the work, for the log and the diagnostics; `synchronizer` while the node is active."""
        estimator: Any = self.estimator
        values: dict[str, object] = {}
        if (model := getattr(estimator, "model", None)) is not None:
            values["model"] = model.name
        if (backend := getattr(estimator, "backend", None)) is not None:
            values.update(backend=backend.name, precision=backend.precision, device=backend.device)
        values["image decoder"] = self.decoder.backend
        values["cloud packer"] = self.outputs.packer.backend
        if synchronizer is not None:
            values["synchronizer"] = synchronizer
        return values

    def unused_runtimes(self) -> dict[str, object]:
        """Why the runtimes that `auto` prefers to the one in use are not used."""
        estimator: Any = self.estimator
        reasons = getattr(getattr(estimator, "backend", None), "reasons", {})
        return {f"not used: {name}": reason for name, reason in reasons.items()}

    def close(self) -> None:
        """End the pipeline and take the outputs down."""
        self.pipeline.close()
        self.outputs.close()
