# make demo     .venv without torch, then the main job: demo_out/report.html and report.json
# make test     the same .venv with torch and the test tools, then every test
# make soak     ten minutes of the node at 30 Hz, 200 lifecycle cycles, 50 camera restarts: leaks, threads, exit
# make gpu-check  torch on this machine's GPU: its answers against the CPU's, and times of each stage
# make lint     ruff and mypy
# make versions the tests that need no torch, on each of PYTHONS with the oldest and the newest releases that we admit
# make colcon   colcon build in a temporary folder; the built node answers a real pair
# make clean    removes the virtual environments and demo_out
#
# Variables: PYTHON (default python3, 3.10 or newer), PYTHONS (python3.10 python3.12), VENV (.venv), OUT (demo_out), PYTEST_ARGS,
# SOAK_ARGS (--seconds 60 --cycles 20 for a quick one), GPU_ARGS (--device cpu rehearses it),
# TORCH_INDEX (a package index that has CPU builds of torch; empty: pip's own configuration decides).

PYTHON ?= python3
PYTHONS ?= python3.10 python3.12
VENV ?= .venv
OUT ?= demo_out
PYTEST_ARGS ?=
SOAK_ARGS ?=
GPU_ARGS ?=
TORCH_INDEX ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
STAMPS := $(VENV)/.stamps
COLCON_VENV := $(VENV)-colcon
VERSIONS_FOLDER := $(VENV)-versions

# A sourced ROS 2 installation is used as it is; otherwise rclpy comes from wheels. The two do not mix.
ifneq ($(and $(ROS_DISTRO),$(AMENT_PREFIX_PATH)),)
ROS := installed
VENV_OPTIONS := --system-site-packages
ROS_REQUIREMENTS :=
else
ROS := wheels
VENV_OPTIONS :=
ROS_REQUIREMENTS := -r requirements/ros-wheels.txt
endif

# rclpy does not start where it cannot write its log, as with HOME missing.
export ROS_LOG_DIR ?= $(abspath $(VENV))/ros_log
# A sourced ROS brings pytest plugins written for older versions of pytest.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD := 1

.PHONY: help demo test soak gpu-check lint versions colcon clean
help:
	@sed -n 's/^# //p' Makefile | head -11

demo: $(STAMPS)/runtime
	$(BIN)/stereo-dp demo --out $(OUT)

test: $(STAMPS)/test
	$(BIN)/python -m pytest -p pytest_timeout $(PYTEST_ARGS)

soak: $(STAMPS)/test
	$(BIN)/python test/ros/soak.py $(SOAK_ARGS)

gpu-check: $(STAMPS)/test
	$(BIN)/python -m pytest -p pytest_timeout test/backends/test_torch_backend.py test/backends/test_on_gpu.py -k gpu; \
		failed=$$?; $(BIN)/python test/backends/gpu_check.py $(GPU_ARGS) && exit $$failed

lint: $(STAMPS)/test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

versions:
	.ci/versions $(VERSIONS_FOLDER) $(PYTHONS)

colcon: $(STAMPS)/runtime $(COLCON_VENV)/.stamp
	.ci/colcon $(BIN) $(COLCON_VENV)/bin

clean:
	rm -rf $(VENV) $(COLCON_VENV) $(VERSIONS_FOLDER) $(OUT)

$(STAMPS)/venv-$(ROS):
	@.ci/check-python $(PYTHON) $(ROS)
	$(PYTHON) -m venv --clear $(VENV_OPTIONS) $(VENV)
	$(PIP) --upgrade 'pip>=24'
	mkdir -p $(STAMPS)
	touch $@

$(STAMPS)/runtime: $(STAMPS)/venv-$(ROS) requirements/runtime.txt requirements/demo.txt requirements/ros-wheels.txt \
		setup.py setup.cfg package.xml $(wildcard launch/* config/* config/*/*)
	.ci/requirements $(BIN)/python $(ROS) $(STAMPS)
	$(PIP) -c $(STAMPS)/constraints.txt -r $(STAMPS)/runtime.txt -r requirements/demo.txt $(ROS_REQUIREMENTS)
	PYTHONWARNINGS=ignore $(PIP) --no-deps --editable .
	touch $@

$(STAMPS)/test: $(STAMPS)/runtime requirements/torch.txt requirements/test.txt
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -r requirements/torch.txt
	$(PIP) -c $(STAMPS)/constraints.txt -r requirements/test.txt -r requirements/torch.txt
	touch $@

$(COLCON_VENV)/.stamp: requirements/colcon.txt
	@.ci/check-python $(PYTHON) $(ROS)
	$(PYTHON) -m venv --clear $(COLCON_VENV)
	$(COLCON_VENV)/bin/python -m pip --disable-pip-version-check install --quiet -r requirements/colcon.txt
	touch $@
