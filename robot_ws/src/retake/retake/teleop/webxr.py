"""A headset's controllers as a teleoperation device, through a page for its browser (WebXR): nothing to install there.

Grip: dead man of that hand, whose motion counts from there on, in the direction in which the person then looks.
Trigger: gripper, squeeze. Stick up, down with grip held: height. A, B: take over, hand back. X, Y held: rewind,
forward. A pressed stick: stop. On loopback it serves http (by USB: `adb reverse tcp:8443 tcp:8443`), beyond it https
with a token.
"""

from __future__ import annotations

import math
import secrets
import socket
from dataclasses import dataclass, field
from importlib.resources import files
from queue import Empty
from typing import Any

import numpy as np

from controllers import rotations
from controllers.rigs import Rig
from retake.errors import UserError
from retake.panel.gate import check_address, is_loopback
from retake.panel.targets import sides_of
from retake.ros.realtime import TELEOP
from retake.ros.spin import run
from retake.teleop import webxr_certificate
from retake.teleop.device import DeviceParameters, TeleopDevice
from retake.teleop.hands import DeadMan, Device, Hands, Lateness, Reading, Shown, shaped
from retake.teleop.poses import has_jumped, turned
from retake.teleop.webxr_frame import Controller, Frame
from retake.teleop.webxr_server import HeadsetServer

NAME = "webxr"
SILENCE_S = 0.15  # ten frames
LATE_S = 0.25
START_S = 5.0
PRESSED = 0.5  # of a grip
DEADZONE = 0.2
AGAIN = "the robot holds; let the grip go and hold it again"
TRIGGER_STEP = 0.02  # a trigger at rest must not count as a person's wish


@dataclass(frozen=True)
class Parameters(DeviceParameters):
    """Parameters of the headset's page."""

    host: str = field(default="127.0.0.1", metadata={"description": "address to listen on; 0.0.0.0 for headsets"})
    port: int = 8443
    token: str = field(default="", metadata={"description": "part of the address beyond loopback; empty: made anew"})
    cert: str = field(default="", metadata={"description": "PEM certificate for TLS; empty: made here"})
    key: str = field(default="", metadata={"description": "its key"})


class Headset(Device):
    """Follows the frames of the server."""

    def __init__(self, rig: Rig, server: HeadsetServer, node: TeleopDevice) -> None:
        self._server, self._refuse = server, node.diagnostics.refuse
        self._hands = tuple(side for side in sides_of(rig) if side != "both")
        self._frame: Frame | None = None
        self._at = -math.inf
        self._late = Lateness()
        self._dead_men = {side: DeadMan() for side in ("left", "right")}
        self._way_back = DeadMan()
        self._yaw: dict[str, float] = {}  # side of a held controller: where the person looked when it was gripped
        self._owner: dict[str, str] = {}  # hand: the controller that has it
        self._calls: list[str] = []
        self._fault = ""
        self._server_ms: float | None = None

    def read(self, now: float) -> Reading:
        """What the controllers hold at `now`."""
        self._drain()
        calls, self._calls = tuple(self._calls), []
        frame = self._frame
        is_alive = frame is not None and now - self._at <= SILENCE_S
        if not is_alive and self._yaw:
            self._fault = f"the headset is silent: {AGAIN}"
        held = self._held(frame if is_alive else None)
        if frame is None or not is_alive:
            self._way_back.update(False, False)
            return Reading(calls=calls, fault=self._fault)
        if all(controller.grip <= PRESSED for controller in frame.controllers.values()):
            self._fault = ""
        left = frame.controllers.get("left")
        direction = 0.0 if left is None else float(left.second) - float(left.first)
        rewind = direction if self._way_back.update(direction != 0.0, left is not None) else None
        self._server_ms = 1e3 * (now - self._at)
        ages = {"server": self._server_ms}
        if frame.delay_ms is not None:
            ages["headset_to_server"] = frame.delay_ms
        return Reading(self._asked(held) if held else None, rewind, calls, self._fault, ages)

    def show(self, shown: Shown) -> None:
        """On the page."""
        self._server.state = {"authority": shown.authority, "has_robot": shown.has_robot, "operator": shown.operator,
                              "text": shown.text, "authority_ms": shown.authority_ms, "server_ms": self._server_ms}

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def _drain(self) -> None:
        """Take what came since the last reading."""
        if self._server.failure is not None:
            raise UserError(f"the headset's page cannot be served ({self._server.failure})")
        while True:
            try:
                self._refuse("webxr", self._server.refused.get_nowait())
            except Empty:
                break
        while True:
            try:
                at, said = self._server.heard.get_nowait()
            except Empty:
                return
            if isinstance(said, str):
                self._calls.append(said)
            elif (late := self._late.of(said.sent_s, at, LATE_S)) > LATE_S:
                self._refuse("webxr", f"a frame came {1e3 * late:.0f} ms later than the fastest")
            else:
                self._take(said, at)

    def _take(self, frame: Frame, at: float) -> None:
        before, is_fresh = self._frame, at - self._at <= SILENCE_S
        self._frame, self._at = frame, at
        if before is None or not is_fresh:
            return  # a button that is down already was not pressed now
        for side, now in frame.controllers.items():
            was = before.controllers.get(side)
            if was is None:
                continue
            if has_jumped(was.pose, now.pose):
                self._lose(side)
            if now.press and not was.press:
                self._calls.append("stop")
            if side == "right":
                self._calls += ["take_over"] * (now.first and not was.first)
                self._calls += ["hand_back"] * (now.second and not was.second)

    def _lose(self, side: str) -> None:
        """It cannot have gone where it is now: its room was set anew, or it was not seen for a while."""
        self._dead_men[side].update(False, False)
        if self._yaw.pop(side, None) is not None:
            self._fault = f"the {side} hand jumped: {AGAIN}"

    def _held(self, frame: Frame | None) -> dict[str, Controller]:
        """The controllers whose grip is held; each remembers where the person looked when it was closed."""
        held = {}
        for side, dead_man in self._dead_men.items():
            controller = None if frame is None else frame.controllers.get(side)
            is_pressed = controller is not None and controller.grip > PRESSED
            if not dead_man.update(is_pressed, controller is not None) or controller is None or frame is None:
                self._yaw.pop(side, None)
                continue
            self._yaw.setdefault(side, rotations.yaw_of(frame.head[3:]))
            held[side] = controller
        return held

    def _asked(self, held: dict[str, Controller]) -> Hands:
        """Each controller moves the hand of its side, or the only hand there is; who came first keeps it."""
        self._owner = {hand: side for hand, side in self._owner.items() if side in held}
        poses: dict[str, np.ndarray] = {}
        grasps: dict[str, float] = {}
        for side, controller in held.items():
            hand = side if side in self._hands else self._hands[0]
            if self._owner.setdefault(hand, side) == side:
                poses[hand] = turned(controller.pose, -self._yaw[side])
                grasps[hand] = round(controller.trigger / TRIGGER_STEP) * TRIGGER_STEP
        climbs = [shaped(max(-1.0, min(1.0, c.stick[1])), DEADZONE) for c in held.values()]
        return Hands(poses=poses, grasps=grasps, rates={"base.height": max(climbs, key=abs)})


def make(node: TeleopDevice, rig: Rig, given: Parameters) -> Headset:
    """The headset behind its page; says where to open it."""
    is_local = is_loopback(given.host)
    token = given.token or ("" if is_local else secrets.token_urlsafe(16))
    check_address(given.host, given.port, token)
    is_any = given.host in ("0.0.0.0", "::")
    host = webxr_certificate.own_address() if is_any else given.host
    tls, say = None, node.get_logger().info
    if given.cert or not is_local:
        names = [host, "localhost", f"{socket.gethostname().partition('.')[0]}.local"]
        tls, fingerprint = webxr_certificate.context(given.cert, given.key, list(dict.fromkeys(names)))
        say(f"certificate SHA-256 {fingerprint}")
        if not given.cert:
            say("the browser warns of it once, since it is made here: compare the fingerprint, then go on to the page")
    page = files("retake.teleop").joinpath("webxr_page.html").read_text()
    server = HeadsetServer(given.host, given.port, token, page, tls)
    server.start()
    server.is_ready.wait(START_S)
    if server.failure is not None:
        raise UserError(f"the headset's page cannot be served ({server.failure}); choose another port")
    say(f"headset: {'https' if tls else 'http'}://{host}:{given.port}/{'?token=' + token if token else ''}")
    if is_local:
        way = f"tcp:{given.port} tcp:{given.port}"
        say(f"only this machine reaches it; a headset by USB: adb reverse {way}; by network: host:=0.0.0.0")
    return Headset(rig, server, node)


class TeleopWebxr(TeleopDevice):
    """The headset's node."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("teleop_webxr", NAME, Parameters, make, **node_options)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(TeleopWebxr, args, priority=TELEOP)


if __name__ == "__main__":
    raise SystemExit(main())
