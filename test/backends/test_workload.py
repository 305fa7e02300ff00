"""Operations and bytes, counted by hand for a small network."""

import json

import pytest

torch = pytest.importorskip("torch")

from stereo_dp_ros.backends.workload import Workload, count_workload  # noqa: E402 (torch first: it may be missing)
from stereo_dp_ros.cli.main import main  # noqa: E402
from stereo_dp_ros.core.models import list_models, load_model  # noqa: E402


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1, bias=False), torch.nn.BatchNorm2d(4))

    def forward(self, left, right):
        return torch.sigmoid(self.layers(left)).reshape(-1), right.permute(0, 2, 3, 1)


def test_a_small_network_is_counted():
    pixels = 64 * 32
    assert count_workload(Small(), (64, 32)) == Workload(
        macs=pixels * 4 * 27,
        weight_bytes=2 * (4 * 27 + 2 * 4),
        pair_bytes=pixels * 14,
        product_bytes=2 * pixels * (3 + 4),
        operator_bytes=2 * pixels * (3 + 4 + 4 + 4),
    )


def test_the_shipped_models_are_counted_by_the_command(capsys):
    assert main(["models", "--workload", "640x480", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["size"] == "640x480"
    assert list(report["models"]) == list_models()
    for name, row in report["models"].items():
        width, height = load_model(name).manifest.plan((640, 480)).padded_size
        assert row["network_size"] == f"{width}x{height}"
        assert row["macs"] > 1e8
        assert row["pair_bytes"] == width * height * 14
        assert row["product_bytes"] < row["operator_bytes"]


def test_a_size_that_the_network_does_not_take_is_padded_as_the_node_does(capsys):
    assert main(["models", "--workload", "645x470"]) == 0
    plan = load_model("default").manifest.plan((645, 470))
    assert plan.padded_size[0] % 32 == plan.padded_size[1] % 32 == 0
    seen = f"for a pair of 645x470, which it sees at {plan.padded_size[0]}x{plan.padded_size[1]}"
    assert seen in capsys.readouterr().out.splitlines()[0]
