"""Record the names of TensorRT's Python API from its bindings, without the TensorRT library.

    for wheel in tensorrt-cu12-bindings==10.3.0 tensorrt-cu12-bindings==10.16.1.11 tensorrt-cu13-bindings==11.4.0.106
    do pip download --no-deps $wheel; done
    python test/backends/record_tensorrt_api.py *.whl > test/backends/data/tensorrt_api.json

The bindings are a wheel with one shared object. It asks for three libraries of TensorRT, of which it takes nine
functions, none of them called on import: three empty libraries with these functions let the real module be imported
and asked for its names. Needs `cc`.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
CLASSES = (
    "Builder", "BuilderFlag", "DataType", "ElementWiseOperation", "IBuilderConfig", "ICudaEngine",
    "IExecutionContext", "IHostMemory", "ILayer", "ILogger", "INetworkDefinition", "IOptimizationProfile",
    "ParserError", "IShuffleLayer", "ISliceLayer", "ISoftMaxLayer", "ITensor", "IUnaryLayer", "LayerType", "Logger",
    "MemoryPoolType", "NetworkDefinitionCreationFlag", "OnnxParser", "OnnxParserFlag", "Permutation", "Runtime",
    "ReduceOperation", "SampleMode", "TensorIOMode", "UnaryOperation", "Weights",
)  # fmt: skip
PRINT_NAMES = """
import json, sys, tensorrt_bindings as trt
members = {
    name: sorted(m for m in dir(getattr(trt, name)) if not m.startswith("_"))
    for name in sys.argv[1:] if hasattr(trt, name)
}
print(json.dumps({
    "version": trt.__version__,
    "module": sorted(name for name in dir(trt) if not name.startswith("_")),
    "classes": members,
}))
"""


def record(wheel: Path) -> dict:
    """Version, names of the module, and public members of CLASSES."""
    major = wheel.name.split("-")[1].partition(".")[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zipfile.ZipFile(wheel).extractall(folder)
        source = folder / "empty.c"
        source.write_text("".join(f"void *{function}(void) {{ return 0; }}\n" for function in FUNCTIONS))
        for library in LIBRARIES:
            file = f"lib{library}.so.{major}"
            options = ["-shared", "-fPIC", f"-Wl,-soname,{file}"]
            subprocess.run(["cc", *options, "-o", str(folder / file), str(source)], check=True)
        environment = {**os.environ, "PYTHONPATH": name, "LD_LIBRARY_PATH": name}
        command = [sys.executable, "-c", PRINT_NAMES, *CLASSES]
        return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


if __name__ == "__main__":
    recorded = {entry["version"]: entry for entry in (record(Path(wheel)) for wheel in sys.argv[1:])}
    json.dump(recorded, sys.stdout, indent=1, sort_keys=True)
    print()
