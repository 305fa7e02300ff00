"""Torch definitions of the students."""

from stereo_dp_ros.networks.base import StereoNetwork, StereoOutput
from stereo_dp_ros.networks.registry import build_network, describe_network, load_network, save_weights

__all__ = ["StereoNetwork", "StereoOutput", "build_network", "describe_network", "load_network", "save_weights"]
