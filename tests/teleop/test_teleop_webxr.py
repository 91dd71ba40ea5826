"""The headset's page: a real WebSocket client (and TLS) for the headset, the real node, the real authority."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from controllers import g1
from retake.errors import UserError
from retake.ros.spin import STEADY
from retake.teleop import webxr_certificate
from retake.teleop.webxr import TeleopWebxr
from retake.teleop.webxr_frame import Frame, parse, rig_pose
from tests.panel.waiting import free_port
from tests.teleop.conftest import Bench, refused, said

HEAD = [0.0, 1.7, 0.0, 0.0, 0.0, 0.0, 1.0]  # WebXR: x right, y up, z towards the person
TOKEN = "a-token-of-some-length"


def hand(position=(0.2, 1.2, -0.3), **values) -> dict:
    return {"pose": [*position, 0.0, 0.0, 0.0, 1.0], "grip": 0.0, "trigger": 0.0, "stick": [0.0, 0.0], "first": False,
            "second": False, "press": False, **values}  # fmt: skip


def frame(t: float, **hands) -> dict:
    return {"t": t, "delay_ms": 4.0, "head": HEAD, "hands": hands}


class Person:
    """Wears a headset that draws 70 frames a second."""

    def __init__(self, bench: Bench, socket: ClientConnection) -> None:
        self._probe, self.socket = bench.probe, socket
        self.hands: dict[str, dict] = {"left": hand((-0.2, 1.2, -0.3)), "right": hand()}
        self.states: list[dict] = []  # that the page was told
        self.head, self.is_drawing, self.delay_s = list(HEAD), True, 0.0
        self._timer = bench.probe.create_timer(1 / 70, self._draw, clock=STEADY)
        bench.again = self._again

    def _again(self) -> None:
        hands = self.hands
        self.hands = {side: {**values, "grip": 0.0} for side, values in hands.items()}
        self._probe.serve(0.1)
        self.hands = hands
        self._probe.serve(0.1)

    def _draw(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                self.states.append(json.loads(self.socket.recv(timeout=0)))
        if self.is_drawing:
            t = 1e3 * (time.monotonic() - self.delay_s)
            self.socket.send(json.dumps({"t": t, "delay_ms": 4.0, "head": self.head, "hands": self.hands}))

    def set(self, side: str, **values) -> None:
        self.hands = {**self.hands, side: {**self.hands[side], **values}}

    def tap(self, side: str, button: str) -> None:
        self.set(side, **{button: True})
        self._probe.serve(0.1)
        self.set(side, **{button: False})
        self._probe.serve(0.05)

    def move(self, side: str, way: tuple[float, float, float]) -> None:
        """In WebXR's axes, in steps as a person does."""
        for _ in range(20):
            pose = np.array(self.hands[side]["pose"])
            pose[:3] += np.array(way) / 20
            self.set(side, pose=pose.tolist())
            self._probe.serve(0.03)

    def end(self) -> None:
        self._timer.cancel()
        self.socket.close()


def start(bench: Bench, **parameters) -> tuple[TeleopWebxr, int]:
    port = free_port()
    return bench.add(TeleopWebxr, port=port, **parameters), port


def take_over(robot: Bench, device: TeleopWebxr, person: Person) -> None:
    robot.probe.until(lambda: device._device._frame is not None)

    def has_taken() -> bool:
        person.tap("right", "first")
        return robot.authority[-1].data == "teleop"

    robot.probe.until(has_taken, 30.0)
    robot.probe.until(lambda: device._grant.operator == "webxr")


@pytest.mark.parametrize("rig", ["g1", pytest.param("yam", marks=pytest.mark.heavy)])
def test_a_controller_drives_a_hand(bench, rig):
    robot = bench(rig)
    device, port = start(robot)
    person = Person(robot, connect(f"ws://127.0.0.1:{port}/ws"))
    take_over(robot, device, person)
    home = robot.pose.copy()
    person.move("right", (0.1, 0.0, 0.0))
    robot.is_silent()
    assert not robot.actions  # nobody grips
    person.set("right", grip=1.0)
    robot.until(lambda: len(robot.actions) > 3)
    np.testing.assert_allclose(robot.pose, home, atol=1e-6)
    person.move("right", (0.0, 0.03, -0.06))  # up and ahead
    part = robot.rig.layout.positions[-1]  # of the arm's only hand, or the right one
    robot.until(lambda: np.allclose(robot.pose[part], home[part] + [0.06, 0, 0.03], atol=3e-3))
    assert {message.header.frame_id for message in robot.actions} == {"webxr"}
    robot.probe.until(lambda: person.states[-1].get("has_robot") and person.states[-1]["authority_ms"] is not None)
    state = person.states[-1]
    assert 0.0 <= state["server_ms"] < 500.0 and 0.0 <= state["authority_ms"] < 500.0
    assert 0.0 <= state["echo"]["held_ms"] < 500.0 and state["authority"] == "teleop"
    person.set("right", trigger=1.0)
    if rig == "g1":
        robot.goes("hands.squeeze", above=40.0)
        person.set("right", stick=[0.0, 1.0])  # pulled down
        robot.goes("base.height", below=home[g1.BASE_HEIGHT] - 0.03)
        person.set("right", stick=[0.0, 0.0])
    else:
        robot.goes("left_gripper", below=0.05)
    person.set("right", grip=0.0)
    robot.is_silent()
    person.set("left", first=True)
    robot.says("rewind")
    robot.until(lambda: robot.rewinds and robot.rewinds[-1].points[0].positions[0] == -1.0)
    person.set("left", first=False)
    robot.is_silent()
    person.tap("right", "first")
    robot.says("teleop")
    person.tap("right", "second")
    robot.says("policy")
    person.tap("left", "press")
    robot.says("stopped")
    person.end()


def test_ahead_is_where_the_person_looks(bench):
    robot = bench("g1")
    device, port = start(robot)
    person = Person(robot, connect(f"ws://127.0.0.1:{port}/ws"))
    person.head = [0.0, 1.7, 0.0, 0.0, 0.5**0.5, 0.0, 0.5**0.5]  # turned to the left: ahead is -x
    take_over(robot, device, person)
    person.set("left", grip=1.0)
    robot.until(lambda: len(robot.actions) > 3)
    person.move("left", (-0.06, 0.0, 0.0))
    want = g1.HOME_ACTION[g1.LEFT_POSITION] + [0.06, 0, 0]
    robot.until(lambda: np.allclose(robot.pose[g1.LEFT_POSITION], want, atol=3e-3))
    person.end()


@pytest.mark.parametrize("loss", ["frozen", "closed", "late", "jump", "unseen"])
def test_what_is_lost_needs_a_new_grip(bench, loss):
    robot = bench("yam")
    device, port = start(robot)
    person = Person(robot, connect(f"ws://127.0.0.1:{port}/ws"))
    take_over(robot, device, person)
    person.set("right", grip=1.0)
    robot.until(lambda: len(robot.actions) > 5)
    hands = dict(person.hands)
    if loss == "frozen":  # half open: the connection stands, nothing comes
        person.is_drawing = False
    elif loss == "closed":
        person.end()
    elif loss == "late":
        person.delay_s = 0.6
    elif loss == "jump":
        person.set("right", pose=[1.2, 1.2, -0.3, 0, 0, 0, 1])
    else:
        person.hands = {}
    if loss != "unseen":
        robot.probe.until(lambda: "hold it again" in said(device))
    robot.is_silent()
    assert robot.authority[-1].data == "teleop"
    if loss == "closed":
        person = Person(robot, connect(f"ws://127.0.0.1:{port}/ws"))
    person.hands, person.is_drawing, person.delay_s = hands, True, 0.0
    robot.is_silent()
    person.set("right", grip=0.0)
    robot.probe.until(lambda: not said(device))
    robot.probe.serve(0.1)
    person.set("right", grip=1.0)
    count = len(robot.actions)
    robot.until(lambda: len(robot.actions) > count + 3)
    person.end()


def test_one_headset_and_no_floods(bench):
    robot = bench("yam")
    device, port = start(robot)
    first = connect(f"ws://127.0.0.1:{port}/ws")
    first.send(json.dumps(frame(1.0)))
    robot.probe.until(lambda: device._device._frame is not None)
    second = connect(f"ws://127.0.0.1:{port}/ws")
    with pytest.raises(ConnectionClosed, match="another headset"):
        while True:
            second.recv(timeout=10)
    for k in range(600):
        try:
            first.send(json.dumps(frame(2.0 + k)))
        except ConnectionClosed:
            break
    with pytest.raises(ConnectionClosed, match="messages a second"):
        while True:
            first.recv(timeout=10)


def test_messages_that_are_none_are_refused(bench):
    robot = bench("yam")
    device, port = start(robot)
    socket = connect(f"ws://127.0.0.1:{port}/ws")
    good = frame(1.0, left=hand())
    bad = [
        "no json", "[1]", json.dumps({"call": "reboot"}), json.dumps({**good, "head": [0] * 7}), b"\x00",
        json.dumps(good).replace("0.2,", "NaN,", 1), json.dumps({**good, "more": 1}),
        json.dumps(frame(1.0, left=hand(grip=2.0))), json.dumps(frame(1.0, left=hand(grip=True))),
        json.dumps(frame(1.0, left=hand((1e9, 0, 0)))), json.dumps(frame(1.0, third=hand())),
        json.dumps(frame(1.0, left=hand(stick=[0]))), json.dumps(frame(1.0, left=hand(first=1))), "[" * 4000,
        json.dumps(good).replace("0.2,", "1" * 400 + ",", 1).replace("-0.3", "1" * 400, 1),
    ]  # fmt: skip
    for text in bad:
        before = refused(device, "webxr")
        socket.send(text)
        robot.probe.until(lambda before=before: refused(device, "webxr") > before)
    assert device._device._frame is None
    socket.send(" " * 5000)  # larger than any frame
    with pytest.raises(ConnectionClosed):
        while True:
            socket.recv(timeout=10)


def test_buttons_of_the_page_call(bench):
    robot = bench("yam")
    _, port = start(robot)
    socket = connect(f"ws://127.0.0.1:{port}/ws")
    for call, authority in (("take_over", "teleop"), ("stop", "stopped"), ("release_stop", "none")):
        socket.send(json.dumps({"call": call}))
        robot.says(authority)
    robot.probe.serve(0.3)
    texts = [json.loads(socket.recv(timeout=10)).get("text", "") for _ in range(10)]
    assert any("release_stop" in text for text in texts)


def test_over_the_network_with_tls_and_a_token(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("RETAKE_CACHE", str(tmp_path))
    robot = bench("yam")
    device, port = start(robot, host="0.0.0.0", token=TOKEN)
    (cert,) = (tmp_path / "webxr").glob("*.crt")
    (key,) = (tmp_path / "webxr").glob("*.key")
    assert key.stat().st_mode & 0o077 == 0
    trust = ssl.create_default_context(cafile=str(cert))
    with urllib.request.urlopen(f"https://localhost:{port}/?token={TOKEN}", context=trust) as answer:
        assert "Retake headset" in answer.read().decode() and "text/html" in answer.headers["Content-Type"]
    for path in ("/", "/?token=wrong", "/ws"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"https://localhost:{port}{path}", context=trust)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"https://localhost:{port}/other?token={TOKEN}", context=trust)
    with pytest.raises(InvalidStatus):
        connect(f"wss://localhost:{port}/ws", ssl=trust)
    with pytest.raises((OSError, InvalidMessage)):  # not in the clear
        connect(f"ws://localhost:{port}/ws?token={TOKEN}", open_timeout=2)
    person = Person(robot, connect(f"wss://localhost:{port}/ws?token={TOKEN}", ssl=trust))
    take_over(robot, device, person)
    person.end()
    assert webxr_certificate.self_made(_hosts(cert)) == (cert, key)  # kept, not made anew


def _hosts(cert: Path) -> list[str]:
    names = ssl._ssl._test_decode_cert(str(cert))["subjectAltName"]
    return [name for _, name in names]


def test_loopback_admits_only_its_own_page(bench):
    robot = bench("yam")
    _, port = start(robot)
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{port}/ws", origin="http://elsewhere.example")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_certificates_that_are_none_are_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("nothing")
    with pytest.raises(UserError, match="PEM"):
        webxr_certificate.context(str(file), str(file), [])
    with pytest.raises(UserError, match="belong together"):
        webxr_certificate.context(str(file), "", [])


def test_a_frame_in_the_axes_of_the_rig():
    said = parse(json.dumps(frame(1500.0, left=hand((0.1, 1.2, -0.3), stick=[0.2, -1.0]))))
    assert isinstance(said, Frame) and said.sent_s == 1.5
    left = said.controllers["left"]
    np.testing.assert_allclose(left.pose, [0.3, -0.1, 1.2, 0, 0, 0, 1], atol=1e-12)
    assert left.stick == (0.2, 1.0)
    half = 0.5**0.5
    np.testing.assert_allclose(rig_pose(np.array([0, 0, 0, 0, half, 0, half]))[3:], [0, 0, half, half])  # about up
