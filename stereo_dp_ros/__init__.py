"""Stereo depth for ROS 2 robots: a distilled and pruned network, run by TensorRT, OpenVINO or ONNX Runtime."""

__version__ = "0.1.0"
