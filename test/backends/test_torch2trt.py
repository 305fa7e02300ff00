"""torch2trt: which calls of the students it converts, and our converters for those that it does not or gets wrong.

The names are torch2trt's own (`data/torch2trt_converters.json`). Converters run on a stand-in of TensorRT's network
whose layers compute with NumPy.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from random_student import random_student  # noqa: E402
from students import STUDENTS  # noqa: E402
from torch2trt_recorder import lost_at  # noqa: E402

from stereo_dp_ros.backends.deployed_network import DeployedNetwork  # noqa: E402 (torch first: it may be missing)
from stereo_dp_ros.backends.torch2trt_converters import CONVERTERS  # noqa: E402
from stereo_dp_ros.core.errors import BackendError  # noqa: E402
from stereo_dp_ros.core.models import list_models, load_model  # noqa: E402
from stereo_dp_ros.networks import build_network  # noqa: E402
from training.prune import PORTS  # noqa: E402

THEIRS = frozenset(json.loads((Path(__file__).parent / "data" / "torch2trt_converters.json").read_text())["names"])
OURS = frozenset(CONVERTERS)


def negative_axis(args, kwargs):
    axes = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return axes is None or np.min(axes) < 0


# Function → when its converter in torch2trt 0.5.0 is wrong, and why. Those in CONVERTERS are ours instead.
WRONG = {
    "torch.nn.functional.pad": (lambda a, k: True, "pads the last two dimensions alone and ignores mode and value"),
    "torch.nn.functional.conv_transpose2d": (lambda a, k: True, "takes the input channels for the outputs"),
    "torch.nn.functional.conv_transpose3d": (lambda a, k: True, "takes the input channels for the outputs"),
    "torch.Tensor.squeeze": (lambda a, k: True, "removes nothing"),
    "torch.squeeze": (lambda a, k: True, "removes nothing"),
    "torch.Tensor.__getitem__": (lambda a, k: True, "cannot take one slice, is wrong for a negative start"),
    "torch.Tensor.sum": (negative_axis, "shifts by a negative axis"),
    "torch.sum": (negative_axis, "shifts by a negative axis"),
    "torch.nn.functional.interpolate": (
        lambda a, k: isinstance(k.get("size"), int) or k.get("align_corners"),
        "takes the corners by comparing versions as text",
    ),
}


def offenders(network, ours=OURS):
    """`layer: function: reason` of calls that a conversion would lose or get wrong, the first one first."""
    lost, recorder = lost_at(DeployedNetwork(network.eval(), images=False), THEIRS | ours)
    found = [f"{lost}: has no converter"] if lost else []
    for layer, name, args, kwargs in recorder.calls:
        wrong, reason = WRONG.get(name, (None, None))
        if name not in ours and wrong is not None and wrong(args, kwargs):
            found.append(f"{layer}: {name}: {reason}")
    return found


def test_the_students_are_the_networks_that_can_be_pruned():
    assert set(STUDENTS) == set(PORTS)


@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("kind", STUDENTS)
def test_every_call_of_every_student_is_converted(kind, pruned):
    assert offenders(random_student(kind, pruned=pruned)) == []


@pytest.mark.parametrize("name", list_models())
def test_every_call_of_the_shipped_students_is_converted(name):
    assert offenders(build_network(load_model(name).manifest.network)) == []


class Pads(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.ConvTranspose2d(3, 1, 2, 2)

    def forward(self, left, right):
        return SimpleNamespace(disparity=self.inner(left), confidence=torch.cumsum(right, 1))


def test_the_first_offender_is_named_with_its_layer():
    found = offenders(Pads())
    assert found[0] == "network: torch.cumsum: has no converter"
    assert found[1] == "network.inner: torch.nn.functional.conv_transpose2d: takes the input channels for the outputs"


def test_without_ours_the_first_loss_of_corr_is_found():
    found = offenders(build_network({"type": "corr"}), frozenset())
    assert found[0] == "network: torch.rsqrt: has no converter"


class Layer:
    """A layer of the stand-in: `compute` gives its output when it is asked for."""

    def __init__(self, compute):
        self.compute = lambda: compute(self)
        self.inputs = {}

    def set_input(self, index, tensor):
        self.inputs[index] = tensor

    def get_output(self, index):
        return SimpleNamespace(value=self.compute)


class StandInNetwork:
    """TensorRT's layers that the converters add, as the C++ API's reference describes them."""

    def add_constant(self, shape, weights):
        return Layer(lambda layer: np.asarray(weights).reshape(shape))

    def add_unary(self, tensor, operation):
        return Layer(lambda layer: operation(tensor.value()))

    def add_softmax(self, tensor):
        def compute(layer):
            axis = int(layer.axes).bit_length() - 1
            powers = np.exp(tensor.value() - tensor.value().max(axis=axis, keepdims=True))
            return powers / powers.sum(axis=axis, keepdims=True)

        return Layer(compute)

    def add_elementwise(self, first, second, operation):
        return Layer(lambda layer: operation(first.value(), second.value()))

    def add_reduce(self, tensor, operation, axes, keep_dims):
        axis = int(axes).bit_length() - 1
        return Layer(lambda layer: operation(tensor.value(), axis=axis, keepdims=keep_dims))

    def add_cast(self, tensor, dtype):
        return Layer(lambda layer: tensor.value().astype(dtype))

    def add_shuffle(self, tensor):
        return Layer(lambda layer: tensor.value().reshape(layer.reshape_dims))

    def add_slice(self, tensor, start, shape, stride):
        def compute(layer):
            array, filling = tensor.value(), getattr(layer, "mode", None) == "fill"
            assert filling or 4 not in layer.inputs
            result = np.full(shape, layer.inputs[4].value() if filling else np.nan, array.dtype)
            for index in np.ndindex(*shape):
                at = tuple(s + i * step for s, i, step in zip(start, index, stride, strict=True))
                if all(0 <= a < n for a, n in zip(at, array.shape, strict=True)):
                    result[index] = array[at]
                else:
                    assert filling, "out of bounds"
            return result

        return Layer(compute)


TRT = SimpleNamespace(
    UnaryOperation=SimpleNamespace(SQRT=np.sqrt, RECIP=np.reciprocal, NOT=np.logical_not),
    ElementWiseOperation=SimpleNamespace(LESS=np.less),
    ReduceOperation=SimpleNamespace(MAX=np.max),
    SampleMode=SimpleNamespace(FILL="fill"),
    float32=np.float32,
)


def convert(name, function, source, *args, **kwargs):
    """What our converter makes of the call, and what torch gives."""
    for tensor in (source, *(argument for argument in args if isinstance(argument, torch.Tensor))):
        tensor._trt = SimpleNamespace(value=tensor.numpy)
    result = function(source, *args, **kwargs)
    context = SimpleNamespace(
        network=StandInNetwork(), method_args=(source, *args), method_kwargs=kwargs, method_return=result
    )
    CONVERTERS[name](TRT, context)
    return result._trt.value(), result.numpy()


X = torch.arange(1, 61, dtype=torch.float32).reshape(1, 3, 4, 5) / 7
EVERYTHING = slice(None)


@pytest.mark.parametrize(
    ("name", "function", "args", "kwargs"),
    [
        ("torch.rsqrt", torch.rsqrt, (), {}),
        ("torch.softmax", torch.softmax, (1,), {}),
        ("torch.softmax", torch.softmax, (), {"dim": -1}),
        ("torch.Tensor.float", torch.Tensor.float, (), {}),
        ("torch.Tensor.detach", torch.Tensor.detach, (), {}),
        ("torch.Tensor.to", torch.Tensor.to, (torch.float32,), {}),
        ("torch.Tensor.amax", torch.Tensor.amax, (), {"dim": 1, "keepdim": True}),
        ("torch.Tensor.amax", torch.Tensor.amax, (-1,), {}),
        ("torch.Tensor.__ge__", torch.Tensor.__ge__, (torch.full((1, 1, 4, 5), 3.0),), {}),
        ("torch.Tensor.squeeze", torch.Tensor.squeeze, (0,), {}),
        ("torch.Tensor.squeeze", torch.Tensor.squeeze, (), {}),
        ("torch.nn.functional.pad", torch.nn.functional.pad, ((2, 1),), {}),
        ("torch.nn.functional.pad", torch.nn.functional.pad, ((0, 1, 2, 0, 1, 1),), {"value": 3.5}),
        ("torch.nn.functional.pad", torch.nn.functional.pad, ((-1, 2),), {}),
        ("torch.Tensor.__getitem__", torch.Tensor.__getitem__, (slice(0, 1),), {}),
        ("torch.Tensor.__getitem__", torch.Tensor.__getitem__, ((EVERYTHING, EVERYTHING, slice(-1, None)),), {}),
        ("torch.Tensor.__getitem__", torch.Tensor.__getitem__, ((..., slice(1, -1)),), {}),
        ("torch.Tensor.__getitem__", torch.Tensor.__getitem__, ((..., slice(None, None, 2), 3),), {}),
        ("torch.Tensor.__getitem__", torch.Tensor.__getitem__, ((0, ..., None, -1),), {}),
        ("torch.Tensor.__getitem__", torch.Tensor.__getitem__, (0,), {}),
    ],
)
def test_our_converters_compute_what_torch_computes(name, function, args, kwargs):
    found, expected = convert(name, function, X.clone(), *args, **kwargs)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_truth_values_are_cast_to_numbers():
    found, expected = convert("torch.Tensor.to", torch.Tensor.to, X > 4, torch.float32)
    assert found.dtype == expected.dtype == np.float32 and np.array_equal(found, expected)


def test_what_ours_cannot_convert_is_refused():
    with pytest.raises(BackendError, match="a cast to torch.int64 cannot be converted, expected a float type"):
        convert("torch.Tensor.to", torch.Tensor.to, X.clone(), torch.int64)
    with pytest.raises(BackendError, match="padding of mode 'reflect' cannot be converted, expected constant"):
        convert("torch.nn.functional.pad", torch.nn.functional.pad, X.clone(), (1, 1, 1, 1), mode="reflect")
    with pytest.raises(BackendError, match="cannot be converted, expected slices and numbers"):
        convert("torch.Tensor.__getitem__", torch.Tensor.__getitem__, X.clone(), [0])
