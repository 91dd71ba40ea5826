"""The keyboard: bytes as terminals send them through a pseudo-terminal, the real node, the real authority."""

from __future__ import annotations

import os
import pty
import termios
from functools import partial

import numpy as np
import pytest

from controllers.rigs import BIMANUAL_YAM, YAM
from retake.errors import UserError
from retake.ros.spin import STEADY
from retake.teleop.device import DeviceParameters, TeleopDevice
from retake.teleop.keyboard import HELD_S, NAME, Keyboard
from retake.teleop.terminal import Terminal, is_paste, keys_of
from tests.teleop.conftest import Bench


class Person:
    """Types into the terminal that the node reads."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._fd, self.terminal = pty.openpty()
        self._timer = None

    def make(self, **node_options) -> TeleopDevice:
        return TeleopDevice("teleop_keyboard", NAME, DeviceParameters,
                            lambda _, rig, __: Keyboard(rig, Terminal(self.terminal)), **node_options)

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def hold(self, key: str) -> None:
        """As a terminal whose repeat has begun, 25 a second."""
        self.let_go()
        self._timer = self._bench.probe.create_timer(0.04, partial(self.type, key), clock=STEADY)

    def let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reads(self) -> str:
        return os.read(self._fd, 65536).decode()


@pytest.mark.parametrize("rig", [pytest.param("g1", marks=pytest.mark.heavy), "bimanual_yam"])
def test_drives_while_a_key_repeats(bench, rig):
    robot = bench(rig)
    person = Person(robot)
    device = robot.add(person.make)
    person.type("t")
    robot.says("teleop")
    robot.probe.until(lambda: device._grant.operator == NAME)
    start = robot.pose.copy()
    person.hold("i")
    robot.goes("left_ee.x", above=start[0] + 0.08)
    person.let_go()
    robot.is_silent()
    assert robot.actions[0].header.frame_id == NAME
    person.type("2")
    person.hold("u")
    robot.goes("right_ee.z", above=start[robot.rig.layout.positions[1]][2] + 0.05)
    person.let_go()
    robot.is_silent()
    person.type("1")
    person.hold("m" if rig == "bimanual_yam" else "\x1b[6~")
    if rig == "g1":
        robot.goes("base.height", below=start[14] - 0.02)
    else:
        robot.goes("left_gripper", below=0.5)
    person.let_go()
    robot.is_silent()
    shown = person.reads()
    assert "YOU DRIVE" in shown and "Hold a key" in shown
    person.hold(",")
    robot.says("rewind")
    robot.probe.until(lambda: len(robot.rewinds) > 5)
    person.type(" ")
    robot.says("stopped")
    robot.is_silent()
    person.let_go()


def test_a_tap_is_a_step_that_ends_by_itself(bench):
    robot = bench("yam")
    person = Person(robot)
    device = robot.add(person.make)
    person.type("t")
    robot.probe.until(lambda: device._grant.operator == NAME)
    person.type("i")
    robot.probe.until(lambda: robot.actions)
    robot.is_silent()
    step = robot.newest()[0] - YAM.home_action[0]
    assert 0.0 < step < 0.5 * YAM.layout.speed[0] * (HELD_S + 0.1)
    person.type("i" * 16)  # a connection that was stuck: what it kept back is not added up
    count = len(robot.actions)
    robot.probe.until(lambda: len(robot.actions) > count)
    robot.is_silent()
    assert robot.newest()[0] - YAM.home_action[0] < 2 * step + 0.05


def test_pasted_text_is_no_wish(bench):
    robot = bench("yam")
    person = Person(robot)
    robot.add(person.make)
    person.type("the quick brown fox takes over t t t\n")
    robot.probe.serve(0.3)
    assert robot.authority[-1].data == "none" and not robot.actions
    assert "pasted" in person.reads()


def test_a_terminal_that_closes_ends_the_node(bench):
    robot = bench("yam")
    person = Person(robot)
    device = robot.add(person.make)
    person.type("t")
    robot.probe.until(lambda: device._grant.operator == NAME)
    os.close(person._fd)
    with pytest.raises(UserError, match="terminal is gone"):
        robot.probe.serve(1.0)


def test_the_terminal_is_left_as_it_was():
    _, fd = pty.openpty()
    before = termios.tcgetattr(fd)
    terminal = Terminal(fd)
    assert not termios.tcgetattr(fd)[3] & (termios.ECHO | termios.ICANON) and termios.tcgetattr(fd)[3] & termios.ISIG
    terminal.close()
    assert termios.tcgetattr(fd) == before


def test_no_terminal_is_refused(tmp_path):
    with (tmp_path / "file").open("w+") as file, pytest.raises(UserError, match="needs a terminal"):
        Terminal(file.fileno())


def test_keys_in_what_terminals_send():
    assert keys_of(b"iI\x1b[5~\x1b[F\x1bOH \x1b") == ["i", "I", "PgUp", "End", "Home", " ", "Esc"]
    assert keys_of(b"\x1b[1;5C\x1b[200~k\xff") == ["k", "\ufffd"]
    assert is_paste(keys_of(b"hello, this is a text")) and not is_paste(["i"] * 40) and not is_paste(["i", "j"])


def test_both_hands_and_none_that_is_missing():
    master, fd = pty.openpty()
    keyboard = Keyboard(BIMANUAL_YAM, Terminal(fd))
    os.write(master, b"3j")
    twists = keyboard.read(0.0).hands.twists
    assert set(twists) == {"left", "right"} and all(np.array_equal(t, [0, 1, 0, 0, 0, 0]) for t in twists.values())
    assert keyboard.read(HELD_S + 0.01).hands is None
    single = Keyboard(YAM, Terminal(fd))
    os.write(master, b"2i")
    assert set(single.read(0.0).hands.twists) == {"left"}
