"""Rewind: the robot itself goes back along the path it took, at a bounded speed, and nothing it holds is dropped."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.action_chunk import Refused
from controllers.authority_core import MS, Authority, AuthorityCore
from controllers.operators import HELD_NS
from controllers.path_memory import REWIND_SHARE, PathMemory
from controllers.rewind import Rewind
from controllers.rigs import G1, YAM, Rig

TICK, DT = 20 * MS, 0.02
GRIPPER = 7


class Robot:
    """A core and a robot that lags behind its reference, sags, and can be held back."""

    def __init__(self, rig: Rig, sag: float = 0.008, **options: bool) -> None:
        self.core, self.rig, self.layout = AuthorityCore(rig, **options), rig, rig.layout
        self.now = 1000 * MS
        self.sag, self.wall_x = sag, np.inf
        self.measured = rig.home_action.copy()
        self.path: list[np.ndarray] = []
        self.provenance = None
        self.tick()

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += TICK
            reference, self.provenance = self.core.tick(self.now, self.measured)
            self.reference = reference.copy()
            aim = reference.copy()
            aim[2] -= self.sag
            step = self.layout.difference(self.measured, aim) * (1.0 - np.exp(-DT / 0.07))
            self.measured = self.layout.moved(self.measured, step)
            self.measured[0] = min(self.measured[0], self.wall_x)
            self.path.append(self.measured.copy())

    def drive(self, seconds: float, device: str = "", **velocity: float) -> None:
        """A person moves channels at these rates."""
        action = self.measured.copy()
        for _ in range(round(seconds / DT)):
            for name, rate in velocity.items():
                action[self.layout.channels.index(name.replace("__", "."))] += rate * DT
            self.core.offer_teleop(self.now + 5 * MS, self.layout.validated(action), device)
            self.tick()

    def hold_rewind(self, seconds: float, speed: float = -1.0, device: str = "") -> None:
        for _ in range(round(seconds / DT)):
            self.core.offer_rewind(self.now + 5 * MS, speed, device)
            self.tick()

    def curved_path(self) -> None:
        """Ahead, up, aside: about 0.4 m of the left hand."""
        assert self.core.take_over()[0]
        self.drive(0.6, left_ee__x=0.25)
        self.drive(0.6, left_ee__z=0.25)
        self.drive(0.6, left_ee__y=0.2)
        self.tick(40)


@pytest.mark.parametrize("rig", [G1, YAM], ids=lambda rig: rig.name)
def test_the_robot_returns_along_its_own_path_at_a_bounded_speed(rig: Rig) -> None:
    robot = Robot(rig)
    robot.tick(60)
    start = robot.measured[:3].copy()
    robot.curved_path()
    taken = np.array(robot.path)[:, :3]
    first = len(robot.path)
    assert robot.core.rewind()[0] and robot.core.authority is Authority.REWIND
    robot.hold_rewind(12.0)
    back = np.array(robot.path)[first:, :3]
    off = [np.linalg.norm(taken - p, axis=1).min() for p in back[30:]]
    assert max(off) < 0.01
    assert np.linalg.norm(back[-1] - start) < 0.015
    speed = np.linalg.norm(np.diff(back, axis=0), axis=1) / DT
    assert speed.max() < REWIND_SHARE * rig.layout.speed[0] * 1.25
    assert robot.provenance.reason == "the start of the path" and robot.provenance.segment == "rewind"


def test_let_go_it_stops_and_forward_goes_where_it_was() -> None:
    robot = Robot(YAM)
    robot.curved_path()
    end = robot.measured[:3].copy()
    robot.core.rewind()
    robot.hold_rewind(2.0)
    robot.tick(40)  # nobody holds it: the lease ends the motion, not the state
    stopped = robot.measured[:3].copy()
    robot.tick(50)
    np.testing.assert_allclose(robot.measured[:3], stopped, atol=1e-3)
    assert robot.provenance.reason == "rewind is not held" and robot.core.authority is Authority.REWIND
    assert np.linalg.norm(stopped - end) > 0.05
    robot.hold_rewind(12.0, 1.0)
    np.testing.assert_allclose(robot.measured[:3], end, atol=0.004)
    assert robot.provenance.reason == "the end of the path"


def test_corrected_from_the_middle_the_undone_part_is_forgotten() -> None:
    robot = Robot(YAM)
    start = robot.measured[:3].copy()
    robot.curved_path()
    robot.core.rewind()
    robot.hold_rewind(2.2)
    robot.tick(30)
    middle = robot.measured[:3].copy()
    assert robot.core.take_over()[0] and robot.core.authority is Authority.TELEOP
    robot.drive(0.4, left_ee__x=-0.2)
    robot.tick(30)
    assert robot.core.rewind()[0]
    first = len(robot.path)
    robot.hold_rewind(12.0)
    back = np.array(robot.path)[first:, :3]
    assert np.linalg.norm(back - middle, axis=1).min() < 0.01  # by the place where it was corrected
    assert back[:, 1].max() < middle[1] + 0.01  # not by the way that was undone
    assert np.linalg.norm(back[-1] - start) < 0.015


def test_a_closed_gripper_opens_only_where_it_was_closed_and_only_when_asked() -> None:
    robot = Robot(YAM)
    robot.core.take_over()
    robot.drive(0.5, left_ee__x=0.2)
    robot.drive(0.5, left_gripper=-2.0)
    grasped = robot.measured[:3].copy()
    robot.drive(0.6, left_ee__z=0.2)
    robot.tick(20)
    robot.core.rewind()
    robot.hold_rewind(0.2)
    assert not robot.core.rewind()[0]  # no hand was closed here
    robot.hold_rewind(9.0)
    assert robot.provenance.reason == "left_gripper was closed here; rewind again opens it"
    assert robot.reference[GRIPPER] < 0.2
    np.testing.assert_allclose(robot.measured[:3], grasped, atol=0.015)
    assert robot.core.rewind()[0]
    robot.hold_rewind(9.0)
    assert robot.reference[GRIPPER] == pytest.approx(1.0, abs=0.06)
    assert robot.provenance.reason == "the start of the path"


def test_a_person_may_let_go_to_ask_for_the_hand_and_then_hold_on() -> None:
    robot = Robot(YAM)
    robot.core.take_over()
    robot.drive(0.5, left_ee__x=0.2)
    robot.drive(0.5, left_gripper=-2.0)
    robot.drive(0.4, left_ee__z=0.2)
    robot.core.rewind()
    robot.hold_rewind(7.0)
    assert "rewind again opens it" in robot.provenance.reason
    robot.tick(40)  # the same hand presses both buttons, one after the other
    assert robot.core.rewind()[0]
    robot.tick(40)
    assert robot.reference[GRIPPER] < 0.2  # nothing opens before the way back is held
    robot.hold_rewind(7.0)
    assert robot.reference[GRIPPER] == pytest.approx(1.0, abs=0.06)
    assert robot.provenance.reason == "the start of the path"


def test_asked_for_and_then_gone_forward_a_hand_stays_closed() -> None:
    robot = Robot(YAM)
    robot.core.take_over()
    robot.drive(0.5, left_gripper=-2.0)
    robot.drive(0.5, left_ee__z=0.2)
    robot.core.rewind()
    robot.hold_rewind(7.0)
    assert robot.core.rewind()[0]
    robot.hold_rewind(1.0, 1.0)
    robot.hold_rewind(7.0)
    assert robot.reference[GRIPPER] < 0.2 and "rewind again opens it" in robot.provenance.reason


def test_an_open_gripper_stays_open_where_it_was_closed_before() -> None:
    robot = Robot(YAM)
    robot.core.take_over()
    robot.drive(0.5, left_gripper=-2.0)
    robot.drive(0.5, left_ee__x=0.2)
    robot.drive(0.5, left_gripper=2.0)
    robot.drive(0.5, left_ee__z=0.2)
    robot.core.rewind()
    robot.hold_rewind(3.0)
    assert robot.reference[GRIPPER] == pytest.approx(1.0, abs=0.06)


def test_what_holds_the_robot_ends_the_way_back_but_not_the_way_forward() -> None:
    robot = Robot(YAM, sag=0.0)
    robot.core.take_over()
    robot.drive(0.8, left_ee__x=-0.25)
    robot.tick(30)
    end = robot.measured[:3].copy()
    robot.core.rewind()
    robot.wall_x = end[0] + 0.02  # something came in between
    robot.hold_rewind(6.0)
    assert "something holds left_ee.position" in robot.provenance.reason
    assert robot.reference[0] - robot.measured[0] < 0.02  # and it is not pushed any further
    robot.hold_rewind(6.0, 1.0)
    np.testing.assert_allclose(robot.measured[:3], end, atol=0.01)


def test_there_is_no_way_back_without_a_way_or_without_the_robot() -> None:
    robot = Robot(YAM)
    assert not robot.core.rewind()[0]
    robot.core.take_over()
    done, text = robot.core.rewind()
    assert not done and "no way back" in text
    robot.drive(0.5, left_ee__x=0.2)
    robot.core.begin_episode()
    assert not robot.core.rewind()[0]  # what was before belongs to another episode


@pytest.mark.parametrize("speed", [np.nan, 1.5, -np.inf])
def test_other_speeds_are_refused(speed: float) -> None:
    robot = Robot(YAM)
    with pytest.raises(Refused):
        robot.core.offer_rewind(robot.now + MS, speed)


# Who has the robot


def test_the_second_operator_is_told_who_has_it() -> None:
    robot = Robot(G1)
    assert robot.core.take_over("joy")[0]
    done, text = robot.core.take_over("webxr")
    assert not done and "joy has had the robot for" in text
    robot.drive(0.3, "joy", left_ee__z=0.1)
    assert not robot.core.take_over("webxr")[0] and not robot.core.take_over()[0]
    with pytest.raises(Refused, match="joy has the robot"):
        robot.core.offer_teleop(robot.now + 5 * MS, robot.measured, "webxr")
    assert robot.provenance.operator == "joy"
    robot.tick(HELD_NS // TICK + 2)  # joy has gone to lunch
    assert robot.core.take_over("webxr")[0]
    robot.drive(0.3, "webxr", left_ee__z=0.1)
    assert robot.provenance.operator == "webxr"


def test_a_take_over_without_a_name_belongs_to_the_device_that_moves_first() -> None:
    robot = Robot(G1)
    assert robot.core.take_over()[0]
    robot.drive(0.1, "leader_arm", left_ee__z=0.1)
    with pytest.raises(Refused, match="leader_arm has the robot"):
        robot.core.offer_teleop(robot.now + 6 * MS, robot.measured, "joy")


# Segments


def play_policy(robot: Robot, seconds: float = 0.5) -> None:
    robot.core.hand_back()
    robot.tick()
    robot.core.offer_chunk(robot.now, 100 * MS * np.arange(1, 11), np.tile(robot.measured, (10, 1)), "abc")
    robot.tick(round(seconds / DT))


def test_an_intervention_is_recovery_then_correction() -> None:
    robot = Robot(YAM)
    seen = [robot.provenance.segment]

    def note() -> None:
        if robot.provenance.segment != seen[-1]:
            seen.append(robot.provenance.segment)

    assert not robot.core.correct()[0]
    play_policy(robot)
    note()
    robot.core.take_over()
    robot.tick(3)
    note()
    robot.drive(0.3, left_ee__z=0.1)
    note()
    assert robot.core.correct()[0] and not robot.core.correct()[0]
    robot.drive(0.1, left_ee__x=0.1)
    note()
    robot.core.rewind()
    robot.hold_rewind(0.2)
    note()
    robot.core.take_over()
    robot.drive(0.1, left_ee__x=0.1)
    note()
    play_policy(robot, 0.3)
    note()
    assert seen == ["reset", "policy", "pause", "recovery", "correction", "rewind", "correction", "policy"]


def test_without_a_policy_before_it_is_teleop_and_an_episode_begins_anew() -> None:
    robot = Robot(YAM)
    robot.core.take_over()
    robot.drive(0.2, left_ee__z=0.1)
    assert robot.provenance.segment == "teleop"
    play_policy(robot)
    robot.core.begin_episode()
    robot.core.take_over()
    robot.drive(0.2, left_ee__z=0.1)
    assert robot.provenance.segment == "teleop"


def test_racs_second_rule_ends_the_episode_after_the_intervention() -> None:
    robot = Robot(YAM, ends_after_intervention=True)
    play_policy(robot)
    robot.core.take_over()
    robot.drive(0.2, left_ee__z=0.1)
    done, text = robot.core.hand_back()
    assert not done and "episode/success" in text
    robot.core.begin_episode()
    assert robot.core.hand_back()[0]


def test_what_the_policy_wants_is_known_while_a_person_drives() -> None:
    robot = Robot(YAM)
    assert robot.core.policy_action() is None
    wanted = robot.layout.validated(robot.measured + np.eye(len(robot.measured))[0] * 0.05)
    robot.core.take_over()
    robot.tick()
    robot.core.offer_chunk(robot.now, 100 * MS * np.arange(1, 4), np.tile(wanted, (3, 1)), "abc")
    robot.drive(0.2, left_ee__z=0.1)
    np.testing.assert_allclose(robot.core.policy_action(), wanted)
    robot.tick(20)
    assert robot.core.policy_action() is None  # its chunk has ended


class Loaded:
    """A path along x with a hand closed at half way, and a load that turns the held hand off its reference."""

    TURN, LAG_S = 0.2, 0.1  # rad about x; of the controller

    def __init__(self) -> None:
        layout, path = YAM.layout, PathMemory(YAM)
        pose = YAM.home_action.copy()
        for k in range(150):
            pose[0], pose[GRIPPER] = YAM.home_action[0] + 0.001 * k, 1.0 if k < 75 else 0.0
            path.add(pose.copy(), pose)
        self.layout, self.taken = layout, pose[3:7].copy()
        self.load = np.zeros(layout.rate_dim)
        self.load[3] = self.TURN
        self.measured, reference = pose.copy(), layout.moved(pose, -self.load)
        self.target = reference
        self.rewind = Rewind(path, reference, pose, YAM)

    def back(self, seconds: float) -> tuple[float, float]:
        """Hold it; the largest turn off the path, and of the target from tick to tick, rad."""
        turns, jumps = [0.0], [0.0]
        for _ in range(round(seconds / DT)):
            before = self.target
            self.target, _ = self.rewind.advance(-1.0, self.measured, DT)
            load = self.load if self.target[GRIPPER] < 0.5 else np.zeros_like(self.load)
            aim = self.layout.moved(self.target, load)
            step = self.layout.difference(self.measured, aim) * (1.0 - np.exp(-DT / self.LAG_S))
            self.measured = self.layout.moved(self.measured, step)
            jumps.append(np.linalg.norm(self.layout.difference(before, self.target)[3:6]))
            turns.append(2.0 * np.arccos(min(1.0, abs(self.measured[3:7] @ self.taken))))
        return max(turns), max(jumps)


def test_a_loaded_hand_hardly_turns_as_the_way_back_begins() -> None:
    turn, _ = Loaded().back(2.0)
    assert turn < 0.35 * Loaded.TURN  # 0.66 of it where the offset fades in 0.12 s


def test_a_hand_whose_load_has_gone_does_not_swing_to_where_it_pushed() -> None:
    robot = Loaded()
    robot.back(0.4)
    robot.load[:] = 0.0  # it had only touched something
    turn, _ = robot.back(1.0)
    assert turn < 0.25 * Loaded.TURN  # 0.5 where the push fades as if the load were there


def test_a_hand_that_opens_is_let_go_without_a_jump_and_soon_free_of_what_was_held_against_the_load() -> None:
    robot = Loaded()
    robot.back(9.0)
    assert robot.rewind.ask()
    _, jump = robot.back(0.6)
    assert robot.target[GRIPPER] > 0.5
    assert jump < 0.2 * Loaded.TURN
    assert np.linalg.norm(robot.layout.difference(robot.measured, np.r_[robot.measured[:3], robot.taken, 1.0])[3:6]) < (
        0.1 * Loaded.TURN  # 0.24 where it fades as slowly as at the start
    )
