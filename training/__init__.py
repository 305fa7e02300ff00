"""Training of the students; not installed with the package and never imports ROS."""

import os

os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")  # it tells of an image of which the error tells too
