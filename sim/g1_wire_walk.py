"""The G1's own motion service, as far as a program can tell: standing, heights, and the calls of its LocoClient.

Standing is our whole-body controller in the firmware's place, once the feet carry the robot; in the gantry the standing
posture is held. It does not walk: velocities are taken, kept for their duration, and the feet stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from controllers import g1
from controllers.g1_controller import G1Controller, Sensors
from retake.unitree import rpc
from sim.g1_wire_world import Motors

LIMP, DAMP, STAND, WALK = 0, 1, 4, 500  # FSM ids
BALANCING = (STAND, 200, WALK, 501, 801)
KNOWN = (LIMP, DAMP, 2, 3, STAND, 200, WALK, 501, 702, 706, 801)
INVALID_FSM = 7302  # Unitree's code
LOWEST_M, HIGHEST_M = 0.55, 0.75
HEIGHT_M_S = 0.2
POSTURE_RAD_S = 1.0
CARRIED_N = 100.0  # a gantry that carries less,
WAIT_STEPS = 250  # for so long, leaves the robot on its feet
VELOCITIES = 3
Call = Callable[[dict], tuple[int, Any]]


class StockWalk:
    """State of the locomotion service, and the motors it wants."""

    def __init__(self) -> None:
        self._controller = G1Controller()
        self.velocity = np.zeros(VELOCITIES)  # vx, vy m/s, yaw rate rad/s
        self.enter(DAMP)
        self._modes = {"balance": 0, "swing": 0.08, "task": 0, "speed": 0}

    def enter(self, fsm: int) -> None:
        """Change the state; balancing starts from the pose the robot has."""
        self.fsm, self.height = fsm, HIGHEST_M
        self._action: np.ndarray | None = None
        self._until_ns = 0
        self.velocity = np.zeros(VELOCITIES)
        self._controller.reset()
        self._posture: Motors | None = None
        self._is_on_feet, self._wait_steps = False, 0

    @property
    def is_balancing(self) -> bool:
        """The robot stands by itself."""
        return self.fsm in BALANCING and self._is_on_feet and not self._controller.fallen

    def motors(self, sensors: Sensors, now_ns: int, carried_n: float = 0.0) -> Motors:
        """What the service gives the motors for this state; `carried_n`: of the robot's weight, by a gantry."""
        if now_ns > self._until_ns:
            self.velocity = np.zeros(VELOCITIES)
        zero = np.zeros(g1.NUM_JOINTS)
        if self.fsm not in BALANCING:
            return Motors(sensors.q, zero, zero, zero, zero if self.fsm == LIMP else g1.KD_DAMP)
        self._wait_steps = WAIT_STEPS if carried_n > CARRIED_N else max(0, self._wait_steps - 1)
        self._is_on_feet = self._is_on_feet or self._wait_steps == 0 and self._reaches_posture()
        if not self._is_on_feet:
            return self._to_posture(sensors)
        command = self._controller.step(sensors, self._action)
        if self._action is None:
            self._action = self._controller.measured_action
        elif (change := self.height - float(self._action[g1.BASE_HEIGHT])) != 0.0:
            step = HEIGHT_M_S * g1.CONTROL_DT
            self._action = self._action.copy()  # the controller takes a new action for a new array
            self._action[g1.BASE_HEIGHT] += min(max(change, -step), step)
        if command.damp:
            return Motors(sensors.q, zero, zero, zero, g1.KD_DAMP)
        return Motors(command.q_des, command.dq_des, command.tau_ff, g1.KP, g1.KD)

    def _reaches_posture(self) -> bool:
        return self._posture is None or bool(np.allclose(self._posture.q, g1.Q_HOME))

    def _to_posture(self, sensors: Sensors) -> Motors:
        """Bring the joints to the standing posture, at POSTURE_RAD_S, and hold it."""
        if self._posture is None:
            zero = np.zeros(g1.NUM_JOINTS)
            self._posture = Motors(sensors.q.copy(), zero, zero, 2.0 * g1.KP, 2.0 * g1.KD)
        step = POSTURE_RAD_S * g1.CONTROL_DT
        self._posture.q += np.clip(g1.Q_HOME - self._posture.q, -step, step)
        return self._posture

    def calls(self, clock: Callable[[], int]) -> dict[int, Call]:
        """The api of LocoClient, for retake.unitree.rpc.Answerer; `clock()` gives now in ns."""

        def get(value: Callable[[], Any]) -> Call:
            return lambda _: (rpc.OK, {"data": value()})

        def set_mode(name: str) -> Call:
            def call(parameter: dict) -> tuple[int, None]:
                self._modes[name] = parameter["data"]
                return rpc.OK, None

            return call

        return {
            rpc.GET_FSM_ID: get(lambda: self.fsm), rpc.GET_FSM_MODE: get(lambda: 0),
            rpc.GET_BALANCE_MODE: get(lambda: self._modes["balance"]),
            rpc.GET_SWING_HEIGHT: get(lambda: self._modes["swing"]),
            rpc.GET_STAND_HEIGHT: get(lambda: float(self.height)),
            rpc.SET_FSM_ID: self._set_fsm, rpc.SET_STAND_HEIGHT: self._set_height,
            rpc.SET_VELOCITY: lambda parameter: self._set_velocity(parameter, clock()),
            rpc.SET_BALANCE_MODE: set_mode("balance"), rpc.SET_SWING_HEIGHT: set_mode("swing"),
            rpc.SET_ARM_TASK: set_mode("task"), rpc.SET_SPEED_MODE: set_mode("speed"),
        }  # fmt: skip

    def _set_fsm(self, parameter: dict) -> tuple[int, None]:
        fsm = int(parameter["data"])
        if fsm not in KNOWN:
            return INVALID_FSM, None
        if not (fsm in BALANCING and self.fsm in BALANCING):
            self.enter(fsm)
        self.fsm = fsm
        return rpc.OK, None

    def _set_height(self, parameter: dict) -> tuple[int, None]:
        self.height = min(max(float(parameter["data"]), LOWEST_M), HIGHEST_M)  # LowStand sends 0, HighStand 2^32-1
        return rpc.OK, None

    def _set_velocity(self, parameter: dict, now_ns: int) -> tuple[int, None]:
        velocity = np.array(parameter["velocity"], dtype=float)
        if velocity.shape != (VELOCITIES,) or not np.all(np.isfinite(velocity)):
            return rpc.INTERNAL, None
        self.velocity, self._until_ns = velocity, now_ns + round(float(parameter.get("duration", 1.0)) * 1e9)
        return rpc.OK, None
