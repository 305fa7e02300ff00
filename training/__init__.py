"""Training of the students; not installed with the package and never imports ROS."""
