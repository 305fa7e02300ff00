"""The lifecycle node: wiring of parameters, estimator, inputs, outputs and diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.ros.camera import CameraInfos
from stereo_dp_ros.ros.clouds import CloudPacker
from stereo_dp_ros.ros.configured import Configured
from stereo_dp_ros.ros.conversions import ImageDecoder
from stereo_dp_ros.ros.diagnostics import RunMonitor, diagnostic_array
from stereo_dp_ros.ros.faults import FaultLog, Severity
from stereo_dp_ros.ros.log_handler import RosLogHandler
from stereo_dp_ros.ros.outputs import Outputs
from stereo_dp_ros.ros.parameters import (
    NodeParameters,
    check_changes,
    declare_parameters,
    read_parameters,
    unknown_parameters,
)
from stereo_dp_ros.ros.pipeline import Estimator, Pipeline
from stereo_dp_ros.ros.qos import NO_PUBLISHER_EVENTS
from stereo_dp_ros.ros.rectification import Rectification
from stereo_dp_ros.ros.run import ActiveRun, InputTopics
from stereo_dp_ros.ros.synchronizer import ImagePair, StereoSynchronizer

__all__ = ["EstimatorFactory", "StereoNode", "create_estimator"]

DIAGNOSTICS_PERIOD_S = 1.0
REFRESH_PERIOD_S = 0.25
AUTOSTART_RETRY_S = 5.0

EstimatorFactory = Callable[[NodeParameters], Estimator]


def create_estimator(parameters: NodeParameters) -> Estimator:
    """Return the estimator that the parameters ask for; raises ModelError or BackendError."""
    return load_estimator(
        parameters.model,
        parameters.backend,
        precision=parameters.precision,
        threads=parameters.threads or None,
        input_size=parameters.input_size,
    )


class StereoNode(LifecycleNode):
    """A stereo pair in; disparity, depth, confidence and points out.

    Brings itself up unless the parameter `autostart` is false; if configuring fails, the reason is in the log and in
    the diagnostics, and it is tried again every few seconds.

    Parameters
    ----------
    estimator_factory : returns what infers; replaced in tests
    options : for rclpy's Node

    Raises
    ------
    ValueError, rclpy.exceptions.ParameterException : a parameter's start value is not allowed
    """

    def __init__(self, *, estimator_factory: EstimatorFactory = create_estimator, **options: Any) -> None:
        super().__init__("stereo_node", **options)
        self._estimator_factory = estimator_factory
        self._faults = FaultLog(self._log_fault)
        self._log_handler = RosLogHandler(self.get_logger())
        self._log_handler.attach()
        self._live = declare_parameters(self)
        for line in unknown_parameters(self):
            self.get_logger().warning(line)
        self._told: set[str] = set()
        self._configured: Configured | None = None
        self._run: ActiveRun | None = None
        self._monitor: RunMonitor | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state
        self._diagnostics = self.create_publisher(
            DiagnosticArray, "/diagnostics", 10, event_callbacks=NO_PUBLISHER_EVENTS
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=steady)
        self.create_timer(REFRESH_PERIOD_S, self._refresh_inputs, clock=steady)
        self._autostart_timers = [
            self.create_timer(period_s, self._autostart, clock=steady) for period_s in (0.0, AUTOSTART_RETRY_S)
        ]
        if not self._live.autostart:
            self._end_autostart()

    @property
    def active_run(self) -> ActiveRun | None:
        """What runs while the node is active, else None."""
        return self._run

    def report_failure(self, error: Exception) -> None:
        """Say, in the log and the diagnostics, that a callback raised `error`."""
        line = " ".join(f"a callback failed: {type(error).__name__}: {error}".split())
        self._faults.report("callback", line)

    def close(self) -> bool:
        """Free everything, whatever the state; return whether the inference thread has ended."""
        self._end_autostart()
        ended = self._stop_run()
        self._free_configured()
        self._log_handler.detach()
        return ended

    # Transitions. rclpy swallows what they raise, so each one reports its own failure.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, create the publishers."""
        try:
            self._configured = self._configure(read_parameters(self))
        except Exception as error:
            return self._failed("configure", error)
        self._faults.resolve_all()
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the inference thread."""
        try:
            self._start_run()
        except Exception as error:
            self._stop_run()
            return self._failed("activate", error)
        self._faults.resolve("activate")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and end the inference thread."""
        try:
            self._stop_run()
        except Exception as error:
            self._failed("deactivate", error)
            return TransitionCallbackReturn.ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the publishers."""
        try:
            self._free_configured()
        except Exception as error:
            self._failed("clean up", error)
            return TransitionCallbackReturn.ERROR
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        self.close()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, to be configured anew."""
        self._stop_run()
        self._free_configured()
        return TransitionCallbackReturn.SUCCESS

    def _configure(self, parameters: NodeParameters) -> Configured:
        estimator = self._estimator_factory(parameters)
        if parameters.input_size is not None:  # else camera_info will tell
            estimator.warm_up(*parameters.input_size)
        topics = InputTopics.of(self, parameters)
        infos = CameraInfos(*topics.camera_infos)
        decoder, packer = ImageDecoder(), CloudPacker()
        self._tell_builtin(decoder.reason, packer.reason)
        rectification = Rectification(*topics.camera_infos) if parameters.rectify else None
        outputs = Outputs(self, parameters.output_reliability, packer)
        pipeline = Pipeline(estimator, outputs, infos, decoder, rectification, topics.images)
        return Configured(parameters, topics, estimator, decoder, outputs, infos, pipeline)

    def _start_run(self) -> None:
        configured = self._configured
        if configured is None:
            raise RuntimeError("the node is not configured")
        parameters = configured.parameters
        tolerance_ns = int(parameters.sync_tolerance_s * 1e9) if parameters.approximate_sync else None
        synchronizer = StereoSynchronizer(parameters.sync_backend, parameters.queue_size, tolerance_ns, self._on_pair)
        self._tell_builtin(synchronizer.reason)
        self._run = ActiveRun(
            self,
            configured.topics,
            configured.pipeline,
            configured.infos,
            synchronizer,
            self._faults,
            lambda: self._live,
        )
        self._monitor = RunMonitor(self._run, configured.outputs, self._faults, parameters)
        described = ", ".join(f"{key} {value}" for key, value in configured.runtimes(synchronizer.backend).items())
        self.get_logger().info(f"active on {', '.join(configured.topics.images)}: {described}")

    def _on_pair(self, pair: ImagePair) -> None:
        if self._run is not None:
            self._run.on_pair(pair)

    def _stop_run(self) -> bool:
        run, self._run, self._monitor = self._run, None, None
        return run is None or run.stop()

    def _free_configured(self) -> None:
        configured, self._configured = self._configured, None
        if configured is not None:
            configured.close()

    def _tell_builtin(self, *reasons: str) -> None:
        """Say once why a built-in equivalent stands in for a ROS package."""
        for reason in reasons:
            if reason and reason not in self._told:
                self._told.add(reason)
                self.get_logger().info(f"{reason}: the built-in equivalent is used")

    def _failed(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        reason = str(error) if isinstance(error, StereoDpError) else f"{type(error).__name__}: {error}"
        self._faults.resolve(transition)
        self._faults.report(transition, f"{transition} failed: {' '.join(reason.split())}", lasting=True)
        return TransitionCallbackReturn.FAILURE

    # Timers and callbacks, all in the executor's thread.

    def _on_change_state(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        """Answer a transition that the state does not have, too: rclpy raises, and the caller would wait for ever."""
        try:
            return self._change_state(request, response)
        except Exception:  # rclpy's error has no public name
            asked = request.transition.label or request.transition.id
            state = self._state_machine.current_state[1]
            possible = ", ".join(transition[1] for transition in self._state_machine.available_transitions)
            line = f"transition {asked} refused: the node is {state}, expected one of {possible}"
            self._faults.report("transition", line, Severity.WARN)
            response.success = False
            return response

    def _autostart(self) -> None:
        """Configure and activate; a failure is tried again, for its cause may go away."""
        self._autostart_timers[0].cancel()
        state = self._state_machine.current_state[1]
        if state == "unconfigured" and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            state = "inactive"
        if state == "inactive":
            self.trigger_activate()
        if self._state_machine.current_state[1] != "unconfigured":
            self._end_autostart()

    def _end_autostart(self) -> None:
        for timer in self._autostart_timers:
            self.destroy_timer(timer)
        self._autostart_timers.clear()

    def _refresh_inputs(self) -> None:
        if self._run is not None:
            self._run.refresh()

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        result = check_changes(self, changes, self._configured is not None)
        if result.successful:
            self._live = read_parameters(self, changes)
        return result

    def _publish_diagnostics(self) -> None:
        state = self._state_machine.current_state[1]
        values: dict[str, object] = {"state": state}
        if self._configured is not None:
            values.update(self._configured.runtimes(self._run.synchronizer.backend if self._run else None))
            values.update(self._configured.unused_runtimes())
        if self._monitor is not None:
            values.update(self._monitor.tick())
        message = diagnostic_array(
            self.get_clock().now().to_msg(),
            f"{self.get_fully_qualified_name().lstrip('/')}: stereo",
            self.get_namespace(),
            self._faults,
            self._idle_message(state),
            values,
        )
        self._diagnostics.publish(message)

    def _idle_message(self, state: str) -> str:
        """What to say when nothing is wrong."""
        return f"the node is {state}" if self._monitor is None else self._monitor.idle

    def _log_fault(self, severity: Severity, line: str) -> None:
        logger = self.get_logger()
        if severity == Severity.ERROR:
            logger.error(line)
        else:
            logger.warning(line)
