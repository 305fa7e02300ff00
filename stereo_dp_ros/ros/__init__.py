"""The ROS 2 node: the only package that imports rclpy and message types.

Every module has one subject; ``node`` wires them together and ``main`` is the console script.
"""
