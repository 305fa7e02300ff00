"""Stand-in for TensorRT, 10 or 11: an engine is the ONNX graph that was parsed, run by ONNX Runtime on the CPU.

It has only names that every recorded table of the real bindings has for that version (10.3 and 10.16, or 11.4), so that
code which runs on it uses no other. Each step can be made to fail, and answers can be distorted.
"""

import ctypes
import enum
import importlib.machinery
import json
import types
from pathlib import Path

import numpy as np
import onnx
from half_emulation import cpu_session

from stereo_dp_ros.backends.half_graph import in_half

API = json.loads((Path(__file__).parent / "data" / "tensorrt_api.json").read_text())
MAJORS = {version: int(version.partition(".")[0]) for version in API}
VERSIONS = {10: "10.16.1.11", 11: "11.4.0.106"}


class Faults:
    """What shall go wrong: names of steps, and a function that distorts (disparity, confidence)."""

    def __init__(self):
        self.steps = set()
        self.distort = None


class DataType(enum.Enum):
    FLOAT, HALF, UINT8, INT64, INT32, BOOL = range(6)


class LayerType(enum.Enum):
    CONSTANT, CAST, SHAPE, ELEMENTWISE = range(4)


LAYER_TYPES = {"Constant": LayerType.CONSTANT, "Cast": LayerType.CAST, "Shape": LayerType.SHAPE}


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING = range(3)


TYPES = {
    1: DataType.FLOAT,
    10: DataType.HALF,
    2: DataType.UINT8,
    7: DataType.INT64,
    6: DataType.INT32,
    9: DataType.BOOL,
}
NUMPY = {DataType.FLOAT: np.float32, DataType.UINT8: np.uint8}


def standin_tensorrt(cuda, version, faults):
    """A module that stands for `import tensorrt`; `version` is 10 or 11."""

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING = Severity

        def __init__(self):
            pass

    class Logger(ILogger):
        def __init__(self, severity):
            super().__init__()

    class ITensor:
        __slots__ = ("dtype", "name")

        def __init__(self, name, dtype):
            self.name, self.dtype = name, dtype

    class ILayer:
        hints = ("precision",) if version == 10 else ()
        __slots__ = ("_outputs", "metadata", "name", "type", *hints)
        del hints

        def __init__(self, node, dtypes):
            self.name = f"layer of {node.name}"
            self.metadata = f"[ONNX Layer: {node.name} | Local Function: f]"
            self.type = LAYER_TYPES.get(node.op_type, LayerType.ELEMENTWISE)
            self._outputs = [ITensor(name, dtypes[name]) for name in node.output]

        @property
        def num_outputs(self):
            return len(self._outputs)

        def get_output(self, index):
            return self._outputs[index]

        if version == 10:

            def set_output_type(self, index, dtype):
                assert self.type not in LAYER_TYPES.values() and self._outputs[index].dtype == dtype

    class INetworkDefinition:
        def __init__(self):
            self._layers, self._model = [], None

        @property
        def num_layers(self):
            return len(self._layers)

        def get_layer(self, index):
            return self._layers[index]

    class ParserError:
        def desc(self):
            return "In node 3 (importPad): UNSUPPORTED_NODE"

    class OnnxParser:
        def __init__(self, network, logger):
            self._network = network

        def parse(self, content):
            if "parse" in faults.steps:
                return False
            model = onnx.load_from_string(content)
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
            values = [*inferred.value_info, *inferred.output]
            dtypes = {value.name: TYPES[value.type.tensor_type.elem_type] for value in values}
            self._network._model = model
            self._network._layers = [ILayer(node, dtypes) for node in model.graph.node]
            return True

        num_errors = 1

        def get_error(self, index):
            return ParserError()

    flags = ["TF32", "FP16", "OBEY_PRECISION_CONSTRAINTS"] if version == 10 else ["TF32"]
    BuilderFlag = enum.Enum("BuilderFlag", flags)

    class IBuilderConfig:
        def __init__(self):
            self._flags = {BuilderFlag.TF32}

        def set_flag(self, flag):
            self._flags.add(flag)

        def clear_flag(self, flag):
            self._flags.discard(flag)

    class IHostMemory(bytes):
        pass

    class Builder:
        def __init__(self, logger):
            self._logger = logger

        def create_network(self, flags=0):
            return INetworkDefinition()

        def create_builder_config(self):
            return IBuilderConfig()

        def build_serialized_network(self, network, config):
            if "build" in faults.steps:
                self._logger.log(Severity.WARNING, "a warning")
                self._logger.log(Severity.ERROR, "Error Code 10: no implementation for node 3\nmore")
                return None
            model = network._model
            if version == 10 and BuilderFlag.FP16 in config._flags:
                obeyed = BuilderFlag.OBEY_PRECISION_CONSTRAINTS in config._flags
                pinned = {layer.name[9:] for layer in network._layers if hasattr(layer, "precision")}
                model = in_half(model, frozenset(pinned) if obeyed else frozenset())
            names = [flag.name for flag in config._flags]
            target = {"version": VERSIONS[version], "gpu": cuda.name, "flags": sorted(names)}
            return IHostMemory(json.dumps(target).encode() + b"\n" + model.SerializeToString())

    class Runtime:
        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, content):
            head, _, graph = bytes(content).partition(b"\n")
            target = json.loads(head)
            fits = (target["version"], target["gpu"]) == (VERSIONS[version], cuda.name)
            return ICudaEngine(graph) if fits and "deserialize" not in faults.steps else None

    class ICudaEngine:
        def __init__(self, graph):
            self._graph = graph
            model = onnx.load_from_string(graph).graph
            self._values = {value.name: value.type.tensor_type for value in [*model.input, *model.output]}

        @property
        def num_io_tensors(self):
            return len(self._values)

        def get_tensor_name(self, index):
            return list(self._values)[index]

        def get_tensor_shape(self, name):
            return tuple(dimension.dim_value for dimension in self._values[name].shape.dim)

        def get_tensor_dtype(self, name):
            return TYPES[self._values[name].elem_type]

        def create_execution_context(self):
            return None if "context" in faults.steps else IExecutionContext(self)

    class IExecutionContext:
        def __init__(self, engine):
            self._session = cpu_session(engine._graph)
            self._engine, self._addresses = engine, {}

        def set_tensor_address(self, name, address):
            self._addresses[name] = address
            return "address" not in faults.steps

        def execute_async_v3(self, stream_handle):
            if "execute" in faults.steps:
                return False
            cuda.queue(self._run)
            return True

        def _array(self, name):
            shape, dtype = self._engine.get_tensor_shape(name), NUMPY[self._engine.get_tensor_dtype(name)]
            count = int(np.prod(shape)) * np.dtype(dtype).itemsize
            buffer = (ctypes.c_ubyte * count).from_address(self._addresses[name])
            return np.ctypeslib.as_array(buffer).view(dtype).reshape(shape)

        def _run(self):
            names = ("disparity", "confidence")
            answers = self._session.run(list(names), {name: self._array(name) for name in ("left", "right")})
            if faults.distort is not None:
                answers = faults.distort(*answers)
            for name, answer in zip(names, answers, strict=True):
                self._array(name)[...] = answer

    module = types.ModuleType("tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    module.__version__ = VERSIONS[version]
    module.float32, module.uint8, module.bool = DataType.FLOAT, DataType.UINT8, DataType.BOOL
    classes = (
        Builder, BuilderFlag, DataType, IBuilderConfig, ICudaEngine, IExecutionContext, IHostMemory, ILayer, ILogger,
        INetworkDefinition, ITensor, LayerType, Logger, OnnxParser, ParserError, Runtime,
    )  # fmt: skip
    for item in classes:
        setattr(module, item.__name__, item)
    for recorded, major in MAJORS.items():
        if major == version:
            require_known_names(module, classes, recorded)
    return module


def require_known_names(module, classes, version):
    """The stand-in offers no name that the real bindings of this version lack."""
    table = API[version]
    unknown = [name for name in vars(module) if not name.startswith("_") and name not in table["module"]]
    for item in classes:
        members = table["classes"].get(item.__name__)
        if members is not None:
            own = list(item.__members__) if issubclass(item, enum.Enum) else vars(item)
            unknown += [f"{item.__name__}.{n}" for n in own if not n.startswith("_") and n not in members]
    assert unknown == [], f"tensorrt {version} has no {', '.join(unknown)}"
