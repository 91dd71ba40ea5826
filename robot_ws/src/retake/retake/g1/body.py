"""The two ways to have the G1's body: all of it (rt/lowcmd), or arms and waist while its firmware walks (rt/arm_sdk).

A body says on which topic it commands, what it must find before that, how set-points become a LowCmd, and which frames
the guard sends when the driver is gone.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

import numpy as np

from controllers import g1
from retake.errors import UserError
from retake.g1.gate import damping_rows
from retake.unitree import rpc
from retake.unitree.wire import ENABLE, SERIES, command_encoder

Steps = Generator[None, None, Any]
FAREWELL_FRAMES = 500  # one second
WEIGHT_SLOT = 29  # the first slot that is no motor: its q is the share of rt/arm_sdk, 0 to 1
RELEASE_S = 1.0  # in which rt/arm_sdk's share returns to 0
RELEASE_TIMEOUT_S = 10.0
OURS = slice(g1.WAIST_JOINTS.start, g1.ARM_JOINTS.stop)  # joints that rt/arm_sdk may move
STANDING_FSM = (500, 501, 801)  # FSM ids in which the firmware balances and walks
HEIGHT_RANGE = (0.4, 0.9)  # m: what a stand height must read as, or it is no pelvis height


class Calls(Protocol):
    """What a body's checks need of the driver: service calls that let the states go on."""

    def call(self, service: str, api: int, parameter: dict | None = None) -> Steps:
        """Data of the answer, from JSON, None when there is none. Raises UserError when nobody answers."""
        ...

    def pause(self, seconds: float) -> Steps:
        """Let so much time pass."""
        ...


class OwnBody:
    """Our controller moves all 29 joints; the firmware's motion service must be off."""

    topic = "rt/lowcmd"
    moved = slice(0, g1.NUM_JOINTS)

    def __init__(self, release: bool) -> None:
        """`release`: end the firmware's motion service instead of refusing; the robot then goes limp."""
        self._release = release
        self._encoder = command_encoder()
        self._encoder.set_modes(ENABLE, g1.NUM_JOINTS)
        self._encoder.record["mode_pr"] = SERIES

    def find_good(self, calls: Calls) -> Steps:
        """Raise UserError unless the firmware leaves the motors to us."""
        name = yield from _service_name(calls)
        if name and not self._release:
            raise UserError(
                f"the robot's own motion service {name!r} is on and writes {self.topic} too; hang the robot on its "
                "gantry, then press L2+R2 on the remote (debug mode), or start with release:=true, which ends it: the "
                "robot goes limp"
            )
        waited = 0.0
        while name:
            if waited == 0.0:
                yield from calls.call(rpc.MOTION_SWITCHER, rpc.RELEASE_MODE)
            yield from calls.pause(0.2)
            waited += 0.2
            name = yield from _service_name(calls)
            if name and waited > RELEASE_TIMEOUT_S:
                raise UserError(f"the robot's motion service {name!r} does not end; press L2+R2 on the remote")

    def set_mode_machine(self, mode: int) -> None:
        """What every frame says, read back from the robot."""
        self._encoder.record["mode_machine"] = mode

    def frame(self, rows: np.ndarray, share: float) -> bytes:
        """The LowCmd for set-points (5, 29) q, dq, tau, kp, kd; `share` is in their gains already."""
        return self._encoder.encode_setpoints(rows)

    def farewell(self) -> list[bytes]:
        """Damping."""
        return [self.frame(damping_rows(), 0.0)] * FAREWELL_FRAMES


class StockBody:
    """The firmware balances and walks; our controller has the waist and the arms, by a share that rises and falls."""

    topic = "rt/arm_sdk"
    moved = OURS

    def __init__(self) -> None:
        self._encoder = command_encoder()
        self._encoder.set_modes(ENABLE, g1.NUM_JOINTS)
        self._weight = 0.0
        self.has_height = False  # the firmware's stand height is the pelvis height in metres

    def find_good(self, calls: Calls) -> Steps:
        """Raise UserError unless the firmware balances."""
        name = yield from _service_name(calls)
        if not name:
            raise UserError("the robot's own motion service is off, body:=stock needs it to balance; leave debug mode "
                            "(switch the robot off and on), stand it up with the remote, then start again; or use "
                            "body:=own")
        fsm = yield from calls.call(rpc.LOCOMOTION, rpc.GET_FSM_ID)
        if not isinstance(fsm, dict) or fsm.get("data") not in STANDING_FSM:
            raise UserError(f"the robot's locomotion is in state {fsm}, body:=stock needs one of {STANDING_FSM}; stand "
                            "it up and start its walking with the remote (L2+up, then R1+X), then start again")
        height = yield from calls.call(rpc.LOCOMOTION, rpc.GET_STAND_HEIGHT)
        value = height.get("data") if isinstance(height, dict) else None
        self.has_height = isinstance(value, float) and HEIGHT_RANGE[0] <= value <= HEIGHT_RANGE[1]

    def set_mode_machine(self, mode: int) -> None:
        """What every frame says, read back from the robot."""
        self._encoder.record["mode_machine"] = mode

    def frame(self, rows: np.ndarray, share: float) -> bytes:
        """The LowCmd for set-points (5, 29); the share follows the ramp up at once and goes down over RELEASE_S."""
        self._weight = share if share > 0.0 else max(0.0, self._weight - g1.CONTROL_DT / RELEASE_S)
        return self._frame(rows, self._weight)

    def farewell(self) -> list[bytes]:
        """Braking arms whose share goes back to the firmware."""
        rows = damping_rows()
        return [self._frame(rows, 1.0 - k / (FAREWELL_FRAMES - 1)) for k in range(FAREWELL_FRAMES)]

    def _frame(self, rows: np.ndarray, weight: float) -> bytes:
        self._encoder.motors["q"][WEIGHT_SLOT] = weight
        return self._encoder.encode_setpoints(rows[:, self.moved], self.moved.start)


Body = OwnBody | StockBody


def _service_name(calls: Calls) -> Steps:
    """Name of the motion service that is on, empty when none is."""
    data = yield from calls.call(rpc.MOTION_SWITCHER, rpc.CHECK_MODE)
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise UserError(f"the robot's motion switcher answers {data!r}, which names no mode; is its firmware a G1's?")
    return data["name"]
