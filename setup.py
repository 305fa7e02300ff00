"""Install stereo_dp_ros as an ament_python package (colcon) or as a plain one (pip)."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "stereo_dp_ros"
HERE = Path(__file__).resolve().parent


def requirements(name: str) -> list[str]:
    lines = (HERE / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", "-"))]


def files(folder: str, *patterns: str) -> list[str]:
    found = (path for pattern in patterns for path in (HERE / folder).glob(pattern))
    return sorted(str(path.relative_to(HERE)) for path in found)


def share() -> list[tuple[str, list[str]]]:
    """List what goes under share/: the package's index entry, launch files and configurations."""
    config_folders = [
        "config",
        *(str(p.relative_to(HERE)) for p in sorted(HERE.glob("config/*/")) if p.is_dir()),
    ]
    return [
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", files("launch", "*.launch.py")),
        *((f"share/{PACKAGE}/{folder}", files(folder, "*.yaml", "*.rviz", "*.xml")) for folder in config_folders),
    ]


setup(
    name=PACKAGE,
    version="0.1.0",
    description="Dense stereo depth for ROS 2 from distilled and pruned networks.",
    author="stereo_dp_ros maintainers",
    author_email="maintainers@stereo-dp-ros.example",
    maintainer="stereo_dp_ros maintainers",
    maintainer_email="maintainers@stereo-dp-ros.example",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={
        PACKAGE: ["py.typed", "models/*.onnx", "models/*.json", "models/*.safetensors", "backends/data/*.png"]
    },
    data_files=share(),
    install_requires=requirements("runtime"),
    extras_require={"demo": requirements("demo"), "ros": requirements("ros-wheels"), "test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            f"stereo-dp = {PACKAGE}.cli.main:main",
            f"stereo_node = {PACKAGE}.ros.main:main",
        ],
    },
)
