"""A Fast DDS profile whose shared memory holds whole images, chosen by what /dev/shm has free.

With the default segment of 512 kB an image of 640x480 in colour does not fit and travels in fragments, many of which a
best-effort subscription loses. It is the sender's segment that counts, so the camera's process needs the profile too;
for a shell, ``python3 -m stereo_dp_ros.ros.dds_profile`` prints the variables to set.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["dds_environment", "free_shared_memory_bytes", "profile_xml", "segment_bytes"]

MIB = 1 << 20
_SEGMENTS_MIB = (64, 32, 16)
_SEGMENTS_THAT_FIT = 4  # camera, this node, a viewer and a recorder each create one

# Whoever sets one of these has chosen a transport; ours would override it or be ignored.
_USER_VARIABLES = (
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTDDS_BUILTIN_TRANSPORTS",
    "ROS_DISCOVERY_SERVER",
)
_USER_FILES = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")

_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <profiles>
    <transport_descriptors>
      <transport_descriptor>
        <transport_id>images_shm</transport_id>
        <type>SHM</type>
        <segment_size>{segment_bytes}</segment_size>
        <maxMessageSize>{segment_bytes}</maxMessageSize>
      </transport_descriptor>
      <transport_descriptor>
        <transport_id>images_udp</transport_id>
        <type>UDPv4</type>
      </transport_descriptor>
    </transport_descriptors>
    <participant profile_name="images" is_default_profile="true">
      <rtps>
        <userTransports>
          <transport_id>images_shm</transport_id>
          <transport_id>images_udp</transport_id>
        </userTransports>
        <useBuiltinTransports>false</useBuiltinTransports>
      </rtps>
    </participant>
  </profiles>
</dds>
"""


def free_shared_memory_bytes(folder: str | Path = "/dev/shm") -> int:
    """Return the bytes free for shared memory; 0 where there is none."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize


def segment_bytes(free_bytes: int) -> int:
    """Return the segment to give each participant: 64, 32 or 16 MiB, a quarter of what is free at most; else 0."""
    for segment_mib in _SEGMENTS_MIB:
        if segment_mib * MIB * _SEGMENTS_THAT_FIT <= free_bytes:
            return segment_mib * MIB
    return 0


def profile_xml(segment_size_bytes: int) -> str:
    """Return a Fast DDS profile with shared memory of this size and UDP beside it."""
    return _PROFILE.format(segment_bytes=segment_size_bytes)


def dds_environment(
    environment: Mapping[str, str] | None = None,
    *,
    free_bytes: int | None = None,
    folder: str | Path | None = None,
) -> dict[str, str]:
    """Write the profile and return the variables that make a ROS process use it.

    Empty where the user has chosen a transport or another middleware, where shared memory is too small, and where the
    profile cannot be written: Fast DDS' own default is then left alone.

    Parameters
    ----------
    environment : variables that the process would have, `os.environ` by default
    free_bytes : what is free for shared memory, that of /dev/shm by default
    folder : where the profile is written, the user's temporary folder by default
    """
    environment = os.environ if environment is None else environment
    chosen = any(environment.get(name) for name in _USER_VARIABLES)
    chosen |= any(Path(name).exists() for name in _USER_FILES)
    if chosen or environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") not in (
        "",
        "rmw_fastrtps_cpp",
        "rmw_fastrtps_dynamic_cpp",
    ):
        return {}
    size = segment_bytes(free_shared_memory_bytes() if free_bytes is None else free_bytes)
    if size == 0:
        return {}
    try:
        path = _write(profile_xml(size), size, Path(tempfile.gettempdir() if folder is None else folder))
    except OSError:  # nowhere to write: no reason not to start
        return {}
    # Fast DDS 2 reads the first name, Fast DDS 3 the second.
    return {"FASTRTPS_DEFAULT_PROFILES_FILE": str(path), "FASTDDS_DEFAULT_PROFILES_FILE": str(path)}


def _write(xml: str, size: int, folder: Path) -> Path:
    """Write `xml` to a file of this user's, at once, so that a process that starts meanwhile reads all of it."""
    path = folder / f"stereo_dp_ros-{os.getuid()}-shm{size // MIB}.xml"
    if path.is_file() and path.read_text(encoding="utf-8") == xml:
        return path
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        written = Path(scratch) / path.name
        written.write_text(xml, encoding="utf-8")
        os.replace(written, path)
    return path


if __name__ == "__main__":
    for name, value in dds_environment().items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
