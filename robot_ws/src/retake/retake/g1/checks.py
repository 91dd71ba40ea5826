"""What the G1's driver finds out before it lets the motors move, and watches while they do.

A script of steps that wait (`yield`) while states go on. Each refusal is a UserError that says what to do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np

from retake.errors import UserError
from retake.g1.body import Body, Steps
from retake.unitree import checks
from retake.unitree.dds import LOOPBACK, Bus
from retake.unitree.idl import BmsState_, LowCmd_
from retake.unitree.rpc import LOCOMOTION, MOTION_SWITCHER, OK, Caller
from retake.unitree.wire import decode_state

CALL_S = 1.0  # for the answer of a service
FIND_S = 3.0  # for a service or a battery to appear
LISTEN_S = 0.5  # for another writer
RIVAL_S = 0.5  # another writer counts as alive so long after its last message
RIVAL_PATIENCE_S = 3.0  # a driver that was killed has a guard that speaks for a second
STATE_TOPIC, BATTERY_TOPIC = "rt/lowstate", "rt/lf/bmsstate"


class Checks:
    """`data` is the newest LowState, checked and serialised, set by the link; `poll` often."""

    def __init__(self, bus: Bus, body: Body, battery_min_percent: int) -> None:
        self._bus, self._body, self._battery_min = bus, body, battery_min_percent
        self._rivals = bus.reader(body.topic, LowCmd_, others_only=True)
        self._batteries = bus.reader(BATTERY_TOPIC, BmsState_)
        self.callers = {name: Caller(bus, name) for name in (MOTION_SWITCHER, LOCOMOTION)}
        self._rival_s = -RIVAL_S
        self.battery_percent: int | None = None
        self.data: bytes | None = None
        self.refused = ""  # why the newest state could not be read

    @property
    def record(self) -> np.ndarray | None:
        """The newest LowState, None before the first."""
        return None if self.data is None else decode_state(self.data)

    def poll(self, now_s: float) -> None:
        """Take what came from others."""
        if self._rivals.take():
            self._rival_s = now_s
        for battery in self._batteries.take_messages():
            self.battery_percent = int(battery.soc)

    def rival(self, now_s: float) -> str:
        """Who else writes the body's topic, empty when nobody does."""
        if now_s - self._rival_s > RIVAL_S:
            return ""
        others = ", ".join(self._bus.writers_of(self._body.topic)) or "unknown"
        return f"another program writes {self._body.topic} (DDS participants {others}); end it, only one may"

    def script(self, patience_s: float) -> Steps:
        """Everything before moving; done when it returns. `patience_s`: for the first state."""
        yield from self._wait_for_state(patience_s)
        self._refuse(checks.model_problem)
        yield from self._body.find_good(self)
        yield from self._wait_for_silence()
        yield from self._check_battery()
        self._refuse(checks.state_problem)

    def troubles(self) -> dict[str, str | None]:
        """What is worth a warning while the robot moves; None where all is well."""
        record = self.record
        hot = checks.hot_joints(record) if record is not None else []
        low = self.battery_percent is not None and self.battery_percent < self._battery_min
        return {"heat": f"too hot: {', '.join(hot)}; bring it to rest soon" if hot else None,
                "battery": f"battery at {self.battery_percent} %; bring it to rest soon" if low else None}

    def _refuse(self, problem_of: Callable[[np.ndarray], str | None]) -> None:
        record = self.record
        problem = "the robot has fallen silent" if record is None else problem_of(record)
        if problem:
            raise UserError(problem)

    def call(self, service: str, api: int, parameter: dict | None = None) -> Steps:
        """Data of a service's answer, from JSON, None when it has none."""
        caller = self.callers[service]
        yield from self._until(lambda: caller.is_there, FIND_S, f"nobody answers for the robot's service "
                               f"{service!r}; is {self._bus.interface} the cable to the robot, and its software up?")
        number, end, answer = caller.ask(api, parameter), time.monotonic() + CALL_S, None
        while answer is None:
            if time.monotonic() > end:
                caller.forget(number)
                raise UserError(f"the robot's service {service!r} does not answer call {api}; switch it off and on")
            yield
            answer = caller.answer(number)
        code, data = answer
        if code != OK:
            raise UserError(f"the robot's service {service!r} refuses call {api} with code {code}; see Unitree's list")
        return json.loads(data) if data else None

    def pause(self, seconds: float) -> Steps:
        """Let so much time pass."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield

    def _until(self, is_so: Callable[[], bool], seconds: float, refusal: str) -> Steps:
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise UserError(refusal)
            yield

    def _wait_for_state(self, patience_s: float) -> Steps:
        end = time.monotonic() + patience_s
        while self.data is None:
            if time.monotonic() > end:
                raise UserError(self._no_state(patience_s))
            yield

    def _no_state(self, patience_s: float) -> str:
        if self.refused:
            return f"no state of the robot can be read: {self.refused}"
        bus = self._bus
        hint = "" if bus.interface == LOOPBACK or bus.address.startswith("192.168.123.") else (
            f"; your address {bus.address} is not in the G1's network 192.168.123.0/24")
        return (f"no robot: nothing came on {STATE_TOPIC} in {patience_s:.0f} s (interface {bus.interface}, DDS domain "
                f"{bus.domain}){hint}; is it on, is its cable in, is interface:=NAME the right one?")

    def _wait_for_silence(self) -> Steps:
        """Nobody else writes our topic: heard, not listed, since discovery keeps the dead for a while."""
        yield from self.pause(LISTEN_S)
        end = time.monotonic() + RIVAL_PATIENCE_S
        while refusal := self.rival(time.monotonic()):
            if time.monotonic() > end:
                raise UserError(refusal)
            yield

    def _check_battery(self) -> Steps:
        if self._battery_min == 0:
            return
        yield from self._until(lambda: self.battery_percent is not None, FIND_S,
                               f"the robot does not tell its battery on {BATTERY_TOPIC}; look at its display, and set "
                               "battery_min_percent to 0 to go without this check")
        if self.battery_percent is not None and self.battery_percent < self._battery_min:
            raise UserError(f"battery at {self.battery_percent} %, allowed from {self._battery_min} %: charge it")
