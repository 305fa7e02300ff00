"""The large-message profile: its size, when it is left out, and that Fast DDS takes it."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from stereo_dp_ros.ros.dds_profile import MIB, dds_environment, free_shared_memory_bytes, profile_xml, segment_bytes

NAMES = {"FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"}


@pytest.mark.parametrize(
    ("free_mib", "segment_mib"),
    [(8192, 64), (256, 64), (255, 32), (128, 32), (127, 16), (64, 16), (63, 0), (0, 0)],
)
def test_segment_is_a_quarter_of_what_is_free_at_most(free_mib: int, segment_mib: int) -> None:
    assert segment_bytes(free_mib * MIB) == segment_mib * MIB


def test_profile_has_shared_memory_and_udp() -> None:
    root = ElementTree.fromstring(profile_xml(32 * MIB))
    space = {"d": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    transports = {
        transport.findtext("d:transport_id", namespaces=space): transport
        for transport in root.iter(f"{{{space['d']}}}transport_descriptor")
    }
    assert {transport.findtext("d:type", namespaces=space) for transport in transports.values()} == {"SHM", "UDPv4"}
    (shared,) = (t for t in transports.values() if t.findtext("d:type", namespaces=space) == "SHM")
    assert shared.findtext("d:segment_size", namespaces=space) == str(32 * MIB)
    (participant,) = root.iter(f"{{{space['d']}}}participant")
    assert participant.get("is_default_profile") == "true"
    used = [e.text for e in participant.iterfind(".//d:userTransports/d:transport_id", space)]
    assert set(used) == set(transports)
    assert participant.findtext(".//d:useBuiltinTransports", namespaces=space) == "false"


def test_environment_names_a_file_that_stays(tmp_path: Path) -> None:
    variables = dds_environment({}, free_bytes=128 * MIB, folder=tmp_path)
    assert variables.keys() == NAMES
    (path,) = {Path(value) for value in variables.values()}
    assert path.read_text() == profile_xml(32 * MIB)
    assert dds_environment({}, free_bytes=128 * MIB, folder=tmp_path) == variables
    path.write_text("cut")
    assert dds_environment({}, free_bytes=128 * MIB, folder=tmp_path) == variables
    assert path.read_text() == profile_xml(32 * MIB)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "environment",
    [
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml"},
        {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"},
        {"ROS_DISCOVERY_SERVER": "127.0.0.1:11811"},
        {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
    ],
)
def test_what_the_user_chose_is_left_alone(environment: dict[str, str], tmp_path: Path) -> None:
    assert dds_environment(environment, free_bytes=1024 * MIB, folder=tmp_path) == {}
    assert not list(tmp_path.iterdir())


def test_a_profile_in_the_working_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert dds_environment({}, free_bytes=1024 * MIB, folder=tmp_path)
    Path("DEFAULT_FASTRTPS_PROFILES.xml").touch()
    assert dds_environment({}, free_bytes=1024 * MIB, folder=tmp_path) == {}


def test_left_out_where_it_does_not_fit_or_cannot_be_written(tmp_path: Path) -> None:
    assert dds_environment({}, free_bytes=63 * MIB, folder=tmp_path) == {}
    assert dds_environment({}, free_bytes=64 * MIB, folder=tmp_path / "missing") == {}
    assert free_shared_memory_bytes("/no/such/folder") == 0
    assert free_shared_memory_bytes(tmp_path) > 0


PARTICIPANT = """
import rclpy
rclpy.init()
node = rclpy.create_node("probe")
import os
mapped = {line.split()[-1] for line in open("/proc/self/maps") if "/dev/shm/fastrtps_" in line}
print(max(os.stat(name).st_size for name in mapped if not name.endswith("_el")))
"""


@pytest.mark.parametrize("discovery", ["SUBNET", "LOCALHOST"])
def test_fast_dds_makes_the_segment(domain_id: int, tmp_path: Path, discovery: str) -> None:
    """A participant under the profile holds a segment of that size."""
    variables = dds_environment({}, free_bytes=64 * MIB, folder=tmp_path)
    environment = {**os.environ, **variables, "ROS_LOG_DIR": str(tmp_path), "ROS_AUTOMATIC_DISCOVERY_RANGE": discovery}
    environment.pop("RMW_IMPLEMENTATION", None)
    result = subprocess.run(
        [sys.executable, "-c", PARTICIPANT], env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert int(result.stdout) >= 16 * MIB
