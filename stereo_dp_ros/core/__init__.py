"""The algorithm, numpy in and numpy out. Imports neither ROS nor a network runtime."""
