"""The types of network that are students; a list of its own, so that tests are collected where torch is missing."""

STUDENTS = ("corr", "dtpnet")
