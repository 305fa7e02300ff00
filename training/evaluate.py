"""Scores of a network on real pairs and on validation scenes, by the same estimator and metrics as a shipped model's.

`python -m training.evaluate CHECKPOINT [PAIRS] [--scenes N]` prints a checkpoint's scores per scene and set.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.evaluation import SceneScore, score_pairs, set_rows
from stereo_dp_ros.core.metrics import METRIC_NAMES
from stereo_dp_ros.core.models import Manifest, Model
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from stereo_dp_ros.networks import StereoNetwork, build_network
from training.checkpoint import load_checkpoint
from training.command import Parser, at_least_0, at_least_1
from training.errors import TrainingError
from training.validation import validation_pairs

__all__ = ["TorchBackend", "evaluate_pairs", "network_from_checkpoint", "table"]


class TorchBackend:
    """A network in evaluation mode behind the estimator's protocol; keeps the mode it found."""

    name = "torch"
    precision = "f32"

    def __init__(self, network: StereoNetwork) -> None:
        self.network = network
        self.tensor_device = next(network.parameters()).device
        self.device = str(self.tensor_device)

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Disparity and confidence, float32 (H, W), of a uint8 RGB pair (H, W, 3)."""
        was_training = self.network.training
        with torch.inference_mode():
            output = self.network.eval()(self._tensor(left), self._tensor(right))
        self.network.train(was_training)
        return output.disparity[0, 0].cpu().numpy(), output.confidence[0, 0].cpu().numpy()

    def _tensor(self, image: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(image).to(self.tensor_device).permute(2, 0, 1)[None].float()


def evaluate_pairs(network: StereoNetwork, pairs: Iterable[PairFolder]) -> list[SceneScore]:
    """Score a network on pairs, in torch."""
    manifest = Manifest("checkpoint", network.size_multiple, network.max_disparity_px, {})
    estimator = StereoEstimator(Model(manifest, Path()), TorchBackend(network))
    return list(score_pairs(estimator.infer, pairs))


def network_from_checkpoint(path: Path) -> tuple[StereoNetwork, dict[str, Any]]:
    """The averaged network of a checkpoint, in evaluation mode, and the checkpoint."""
    state = load_checkpoint(path)
    network = build_network(state["description"])
    network.load_state_dict(state["ema"], strict=True)
    return network.eval(), state


def table(scores: list[SceneScore]) -> str:
    """One line per scene, then one per set."""
    rows = [(f"{s.set_name}/{s.scene}", s.metrics) for s in scores]
    rows += [(f"{row['name']} ({row['scenes']})", row) for row in set_rows(scores)]
    width = max(len(name) for name, _ in rows)
    lines = [" ".join([" " * width, *(f"{name:>7}" for name in METRIC_NAMES)])]
    lines += [" ".join([f"{name:{width}}", *(f"{row[m]:7.2f}" for m in METRIC_NAMES)]) for name, row in rows]
    return "\n".join(lines)


def main(values: list[str] | None = None) -> int:
    """Command line; 2 and one line on stderr for bad input."""
    parser = Parser("evaluate", __doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pairs", type=Path, nargs="?", help="folder of pairs")
    parser.add_argument("--scenes", type=at_least_0, default=0, help="validation scenes to score as well (%(default)s)")
    parser.add_argument("--threads", type=at_least_1, default=2, help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args(values)
    torch.set_num_threads(arguments.threads)
    try:
        network, _ = network_from_checkpoint(arguments.checkpoint)
        pairs = [*(find_pairs(arguments.pairs) if arguments.pairs else []), *validation_pairs(arguments.scenes)]
        if not pairs:
            raise TrainingError("there is nothing to score; expected PAIRS or --scenes")
        print(table(evaluate_pairs(network, pairs)))
    except StereoDpError as error:
        print(f"training.evaluate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
