"""Domains that are not shared."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from stereo_dp_ros.cli.reporting import ros_domain_id
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay import ros_domain
from stereo_dp_ros.replay.ros_domain import DOMAINS, own_domain

OTHER = """
import sys
from stereo_dp_ros.cli.reporting import ros_domain_id
print(ros_domain_id(), ros_domain_id(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Domains 1 and 2, which nobody else takes."""
    monkeypatch.setattr(ros_domain.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ros_domain, "DOMAINS", range(1, 3))
    monkeypatch.setattr(ros_domain, "_turn", itertools.cycle(range(1, 3)))


@pytest.mark.usefixtures("few")
def test_nobody_takes_what_is_taken() -> None:
    with own_domain() as first:
        with own_domain() as second:
            assert (first, second) == (1, 2)
            with pytest.raises(DataError, match=r"^every ROS domain from 1 to 2 is taken, see /"), own_domain():
                pass
        with own_domain() as third:
            assert third == 2, "free again"


@pytest.mark.usefixtures("few")
def test_the_next_run_takes_the_next_one() -> None:
    found = []
    for _ in range(3):
        with own_domain() as domain:
            found.append(domain)
    assert found == [1, 2, 1]


def test_another_process_takes_another(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its id: each test's fixture, and each command that is not told its domain, takes one of these."""
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    command = [sys.executable, "-c", OTHER]
    with (
        subprocess.Popen(command, cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
        own_domain() as ours,
    ):
        assert other.stdout is not None
        theirs, again = other.stdout.readline().split()
        mine = ros_domain_id()
        assert theirs == again and mine == ros_domain_id()
        assert len({ours, mine, int(theirs)}) == 3
        assert {ours, mine, int(theirs)} <= set(DOMAINS)
        other.communicate("\n")


def test_the_domain_of_the_user_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "142")
    assert ros_domain_id() == 142


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros_domain.tempfile, "tempdir", str(tmp_path / "missing"))
    expected = r"No such file or directory, expected a folder that can be written$"
    with pytest.raises(DataError, match=expected), own_domain():
        pass
