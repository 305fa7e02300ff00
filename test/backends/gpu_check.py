"""Whether torch on the GPU here gives the CPU's answers, and how fast: `make gpu-check`, in a few minutes.

Needs NumPy, OpenCV, tqdm, safetensors and torch built for the GPU; ONNX Runtime is the reference where it is installed,
else torch on the CPU. TensorRT's engines are checked by `stereo-dp build-engine` and `test_on_gpu.py`. `--device cpu`
rehearses it without a GPU.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stereo_dp_ros.backends import create_backend
from stereo_dp_ros.backends.engine_gate import TOLERANCES, Tolerance, compare
from stereo_dp_ros.cli.main import main as stereo_dp
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import list_models, load_model

# Device → sizes and rounds that are timed; a CPU only rehearses.
TIMED = {"cuda": (("640x480", "960x544", "1280x720"), 50), "cpu": (("320x256",), 2)}
GATE_SIZES = ((320, 256), (640, 480))
# bf16 is offered, never taken by itself: 8 bits move a pixel in hundreds by more than 1 px.
ALLOWED = {**TOLERANCES, "bf16": Tolerance(mean_px=0.25, far_percent=4.0, confidence=0.02)}


def answers(device: str) -> bool:
    """Print how far each model in each precision is from the reference; whether all of it is within tolerance."""
    passed = True
    precisions = ("fp32", "fp16", "bf16") if device == "cuda" else ("fp32", "bf16")
    for name in list_models():
        model = load_model(name)
        try:
            reference, told = create_backend("onnxruntime:cpu", model), "ONNX Runtime on the CPU"
        except BackendError as error:
            reference, told = create_backend("torch:cpu", model, precision="fp32"), f"torch on the CPU ({error})"
        for precision in precisions:
            backend = create_backend(f"torch:{device}", model, precision=precision)
            for size in GATE_SIZES:
                case = f"{name} torch {precision} on {backend.device}, {size[0]}x{size[1]}, against {told}"
                try:
                    figures = compare(backend.infer, reference.infer, size, ALLOWED[precision])
                    off = f"{figures.mean_px:.5f} px in the mean, {figures.far_percent:.3f} % by more than 1 px"
                    print(f"ok    {case}: off by {off}, confidence by {figures.confidence:.5f}", flush=True)
                except BackendError as error:
                    passed = False
                    print(f"WRONG {case}: {error}", flush=True)
    return passed


def main() -> int:
    """Answers, then times; 1 if an answer is beyond its tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", action="append", help=f"may be given again (default: {', '.join(TIMED['cuda'][0])})")
    parser.add_argument("--rounds", type=int, help=f"(default: {TIMED['cuda'][1]})")
    parser.add_argument("--onnx", action="append", type=Path, default=[], help="another network to time beside ours")
    arguments = parser.parse_args()
    try:
        passed = answers(arguments.device)
    except BackendError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2
    sizes, rounds = TIMED[arguments.device]
    command = ["bench", "--backend", f"torch:{arguments.device}", "--stages"]
    command += ["--rounds", str(arguments.rounds or rounds)]
    for size in arguments.size or sizes:
        command += ["--size", size]
    for path in arguments.onnx:
        command += ["--onnx", str(path)]
    return stereo_dp(command) or int(not passed)


if __name__ == "__main__":
    sys.exit(main())
