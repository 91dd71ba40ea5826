"""The G1's computer, seen from its network socket: rt/lowstate out at 500 Hz, rt/lowcmd and rt/arm_sdk in, services.

What is known of the robot is done as it does it: messages, CRC, motor order, remote, switching its motion service
off, the share of rt/arm_sdk. `ours`, where nothing is published: a motor that has heard nothing for COMMAND_TIMEOUT_S
brakes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from controllers import g1
from controllers.g1_controller import Sensors
from retake.unitree import rpc
from retake.unitree.dds import Bus, Reader
from retake.unitree.idl import BmsState_, LowCmd_, LowState_
from retake.unitree.remote import Remote
from retake.unitree.wire import ENABLE, SERIES, WireError, command_encoder, decode_command, motor_modes, state_encoder
from sim.g1_wire_walk import DAMP, StockWalk
from sim.g1_wire_world import Motors, WireWorld

COMMAND_TIMEOUT_S = 0.1
WEIGHT_SLOT = 29
ARMS = slice(g1.WAIST_JOINTS.start, g1.ARM_JOINTS.stop)
PARALLEL = np.array([4, 5, 10, 11, 13, 14])  # joints that two motors move over a linkage
SERVE_STEPS, BATTERY_STEPS = 5, 50
VOLTS, IMU_C = 48.0, 40
BRAKE = 1.5  # N·m·s/rad of a motor that nobody commands
SERVICE = {"ai": {"form": "0", "name": "ai"}, "": {"form": "0", "name": ""}}


@dataclass(frozen=True)
class Build:
    """What this robot is."""

    mode_machine: int = 5
    battery_percent: int = 80
    motion_service: str = "ai"  # at start; empty: debug mode


@dataclass(slots=True)
class _Heard:
    """The newest command of one topic."""

    motors: Motors
    weight: float = 0.0
    at_ns: int = -(10**18)


class WireRobot:
    """`update` then `publish`, once in each CONTROL_DT."""

    def __init__(self, bus: Bus, world: WireWorld, build: Build) -> None:
        self._world, self.build = world, build
        self._low = bus.reader("rt/lowcmd", LowCmd_, depth=4)
        self._arm = bus.reader("rt/arm_sdk", LowCmd_, depth=4)
        self._states = bus.writer("rt/lowstate", LowState_)
        self._batteries = bus.writer("rt/lf/bmsstate", BmsState_)
        self.walk = StockWalk()
        self.remote = Remote()
        self.service = build.motion_service
        self.refused: list[str] = []  # commands that were not taken, with the reason
        self._steps, self._now = 0, 0
        self._encoder = state_encoder()
        self._encoder.motors["vol"][: g1.NUM_JOINTS] = VOLTS
        self._answerers = (
            rpc.Answerer(bus, rpc.MOTION_SWITCHER, "1.0.0.1", self._switcher_calls()),
            rpc.Answerer(bus, rpc.LOCOMOTION, "1.0.0.0", self._walk_calls()),
        )
        decode_command(command_encoder().encode())  # compiled before a control loop waits for it
        self.reset()

    def reset(self) -> None:
        """Another run of the world: nothing that was commanded before counts."""
        self._newest = _Heard(Motors())
        self._arms = _Heard(Motors())
        self._steady_ns = -1  # since when the motors hold with the same gains
        self._kp = np.zeros(g1.NUM_JOINTS)

    def held_s(self, now_ns: int) -> float:
        """How long every motor has held its joint with the same gains and a controller's torques; 0 while one does not.

        With the motion service on: whether it balances and somebody has the arms.
        """
        if self.service:
            return math.inf if self.walk.is_balancing and self.arm_weight == 1.0 else 0.0
        return (now_ns - self._steady_ns) / 1e9 if self._steady_ns >= 0 else 0.0

    @property
    def arm_weight(self) -> float:
        """The share that rt/arm_sdk has of the arms, 0 to 1."""
        return self._arms.weight if self._is_fresh(self._arms) else 0.0

    def update(self, sensors: Sensors, now_ns: int) -> Motors:
        """What the motors get now, from what the wire brought."""
        self._now = now_ns
        self._steps += 1
        if self._steps % SERVE_STEPS == 0:
            for answerer in self._answerers:
                answerer.serve()
        came = self._listen(self._low, self._newest, "rt/lowcmd")
        self._listen(self._arm, self._arms, "rt/arm_sdk")
        if {"L2", "B"} <= self.remote.buttons and self.service and self.walk.fsm != DAMP:
            self.walk.enter(DAMP)  # the firmware's own damping; in debug mode it has none
        if self.service and not came:  # a program that writes while the service is on fights with it
            return self._blended(self.walk.motors(sensors, now_ns, self._world.gantry.pull_n))
        self._watch_gains()
        if self._is_fresh(self._newest):
            return self._newest.motors
        brake = np.full(g1.NUM_JOINTS, BRAKE)
        return Motors(kd=np.maximum(brake, self._newest.motors.kd))

    def publish(self, sensors: Sensors, now_ns: int) -> None:
        """The state at `now_ns`; its tick is in ms."""
        record, motors, n = self._encoder.record, self._encoder.motors, g1.NUM_JOINTS
        record["mode_machine"], record["tick"] = self.build.mode_machine, now_ns // 1_000_000 % 2**32
        x, y, z, w = sensors.quat_xyzw
        record["quaternion"] = w, x, y, z
        record["rpy"] = (math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)),
                         math.asin(min(1.0, max(-1.0, 2 * (w * y - z * x)))),
                         math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
        record["gyroscope"], record["accelerometer"] = sensors.gyro, sensors.accel
        record["imu_temperature"] = IMU_C
        motors["q"][:n], motors["dq"][:n], motors["tau_est"][:n] = sensors.q, sensors.dq, sensors.tau_est
        casing = self._world.casing_c
        motors["temperature"][:n, 0], motors["temperature"][:n, 1] = casing, casing + 5.0
        record["wireless_remote"] = np.frombuffer(self.remote.encode(), np.uint8)
        self._encoder.set_modes(ENABLE if self.service or self._is_fresh(self._newest) else 0, n)
        self._states.write(self._encoder.encode())
        if self._steps % BATTERY_STEPS == 0:
            percent = self.build.battery_percent
            self._batteries.write_message(BmsState_(soc=percent, soh=100, temperature=[30] * 12))

    def _listen(self, reader: Reader, heard: _Heard, topic: str) -> bool:
        """Take the newest good command into `heard`; True when one came."""
        came = False
        for data in reader.take(4):
            try:
                record = decode_command(data)
            except WireError as error:
                self._refuse(f"{topic}: {error}")
                continue
            if record["mode_machine"] != self.build.mode_machine and reader is self._low:
                self._refuse(f"{topic}: mode_machine {record['mode_machine']}, mine is {self.build.mode_machine}")
                continue
            self._take(record, heard)
            came = True
        return came

    def _take(self, record: np.ndarray, heard: _Heard) -> None:
        n, slots = g1.NUM_JOINTS, record["motor"]
        # rt/arm_sdk is taken whatever the modes are: Unitree's own examples leave them 0 there
        enabled = (motor_modes(record)[:n] != 0) | (heard is self._arms)
        q, dq, tau, kp, kd = (slots[name][:n].astype(float) for name in ("q", "dq", "tau", "kp", "kd"))
        motors = Motors(q, dq, tau * enabled, kp * enabled, kd * enabled)
        if record["mode_pr"] != SERIES:
            self._refuse("mode_pr 1: linkages of ankles and waist are not modelled; these joints keep what they had")
            for name in ("q", "dq", "tau", "kp", "kd"):
                getattr(motors, name)[PARALLEL] = getattr(heard.motors, name)[PARALLEL]
        heard.motors, heard.at_ns = motors, self._now
        heard.weight = min(max(float(slots["q"][WEIGHT_SLOT]), 0.0), 1.0)

    def _blended(self, own: Motors) -> Motors:
        """The service's motors with the arms' share of rt/arm_sdk."""
        share, arms = self.arm_weight, self._arms.motors
        if share == 0.0 or not self.walk.is_balancing:
            return own
        tau = own.tau + own.kp * own.q + own.kd * own.dq  # what does not depend on the joint
        theirs = arms.tau + arms.kp * arms.q + arms.kd * arms.dq
        mixed = Motors(np.zeros(g1.NUM_JOINTS), np.zeros(g1.NUM_JOINTS), tau.copy(), own.kp.copy(), own.kd.copy())
        mixed.tau[ARMS] = (1 - share) * tau[ARMS] + share * theirs[ARMS]
        mixed.kp[ARMS] = (1 - share) * own.kp[ARMS] + share * arms.kp[ARMS]
        mixed.kd[ARMS] = (1 - share) * own.kd[ARMS] + share * arms.kd[ARMS]
        return mixed

    def _watch_gains(self) -> None:
        motors = self._newest.motors
        holds = self._is_fresh(self._newest) and bool(np.all(motors.kp > 0)) and bool(np.any(motors.tau != 0))
        if not holds or not np.array_equal(motors.kp, self._kp):
            self._steady_ns = self._now if holds else -1
            self._kp = motors.kp

    def _is_fresh(self, heard: _Heard) -> bool:
        return self._now - heard.at_ns <= COMMAND_TIMEOUT_S * 1e9

    def _refuse(self, why: str) -> None:
        if len(self.refused) < 100:
            self.refused.append(why)

    def _switcher_calls(self) -> dict:
        def select(parameter: dict) -> tuple[int, None]:
            if parameter["name"] != "ai":
                return 7004, None  # Unitree's: name or alias is invalid
            self.service = "ai"
            self.walk.enter(DAMP)
            return rpc.OK, None

        def release(_: dict) -> tuple[int, None]:
            self.service = ""
            self.reset()
            return rpc.OK, None

        return {rpc.CHECK_MODE: lambda _: (rpc.OK, SERVICE[self.service]), rpc.SELECT_MODE: select,
                rpc.RELEASE_MODE: release}

    def _walk_calls(self) -> dict:
        """The locomotion service's calls; they fail while the service is off."""
        def while_on(call: Callable[[dict], Any]) -> Callable[[dict], Any]:
            return lambda parameter: call(parameter) if self.service else (rpc.INTERNAL, None)

        return {api: while_on(call) for api, call in self.walk.calls(lambda: self._now).items()}
