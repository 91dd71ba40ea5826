"""From hands to action: starts where the robot is, and is bounded in speed, in reach and by a leash."""

from __future__ import annotations

import numpy as np
import pytest

from controllers import g1, rotations
from controllers.rigs import BIMANUAL_YAM, G1, RIGS, YAM
from retake.teleop.drive import LEASH_M, Drive
from retake.teleop.hands import DeadMan, Hands, Lateness
from retake.teleop.poses import checked_pose, has_jumped, turned

TICK_NS = 12_500_000
AHEAD = np.array([1.0, 0, 0, 0, 0, 0])


class Follower:
    """A robot that is wherever the action is, or stuck."""

    def __init__(self, rig, share=0.5, is_stuck=False):
        self.rig, self.drive, self.is_stuck = rig, Drive(rig, share), is_stuck
        self.measured = rig.home_action.copy()
        self.now = TICK_NS

    def go(self, hands, ticks=1):
        for _ in range(ticks):
            self.now += TICK_NS
            before = self.drive._action
            action = self.drive.move(hands, self.measured, self.now)
            if before is not None:
                way = self.rig.layout.difference(before, action)
                for part in self.rig.layout.parts:
                    speed = np.linalg.norm(way[part.rates]) / (TICK_NS * 1e-9)
                    assert speed <= self.rig.layout.speed[part.channels.start] * (1 + 1e-6)
            if not self.is_stuck:
                self.measured = action
        return action


@pytest.mark.parametrize("name", RIGS)
def test_begins_where_the_robot_is_and_moves_one_hand(name):
    robot = Follower(RIGS[name])
    layout = robot.rig.layout
    robot.measured = layout.validated(robot.measured + 0.01 * (np.arange(layout.dim) == 2))
    start = robot.measured.copy()
    hands = Hands(twists={"left": AHEAD}, rates={"base.height": -1.0}, closing={"left": 1.0})
    np.testing.assert_allclose(robot.go(hands), start, atol=1e-12)
    action = robot.go(hands, 20)
    moved = {c for c, a, b in zip(layout.channels, start, action, strict=True) if abs(a - b) > 1e-9}
    assert moved == {"left_ee.x"} | ({"base.height", "hands.squeeze", "left_gripper"} & set(layout.channels))
    assert action[0] - start[0] == pytest.approx(0.5 * layout.speed[0] * 20 * TICK_NS * 1e-9)


def test_turns_about_the_axes_of_the_rig():
    robot = Follower(YAM)
    before = YAM.home_action[YAM.layout.quats[0]]
    action = robot.go(Hands(twists={"left": np.array([0, 0, 0, 0, 0, 1.0])}), 41)
    turn = rotations.to_rotvec(rotations.multiply(action[YAM.layout.quats[0]], rotations.conjugate(before)))
    np.testing.assert_allclose(turn, [0, 0, 0.5 * 2.0 * 40 * TICK_NS * 1e-9], atol=1e-9)


def test_a_blocked_hand_keeps_the_target_on_a_leash():
    robot = Follower(YAM, is_stuck=True)
    action = robot.go(Hands(twists={"left": AHEAD}), 200)
    assert action[0] == pytest.approx(YAM.home_action[0] + LEASH_M)
    action = robot.go(Hands(twists={"left": -AHEAD}), 10)
    assert action[0] < YAM.home_action[0] + LEASH_M - 0.02  # and comes back at once
    turning = robot.go(Hands(twists={"left": np.array([0, 0, 0, 0, 0, 1.0])}), 300)
    quat = YAM.layout.quats[0]
    turn = rotations.multiply(turning[quat], rotations.conjugate(YAM.home_action[quat]))
    assert np.linalg.norm(rotations.to_rotvec(turn)) < 0.85


@pytest.mark.parametrize("rig", [G1, BIMANUAL_YAM])
def test_both_hands_keep_their_distance_at_a_limit(rig):
    robot = Follower(rig, share=1.0)
    outwards = Hands(twists=dict.fromkeys(("left", "right"), np.array([0, 1.0, 0, 0, 0, 0])))
    action = robot.go(outwards, 120)
    left, right = (action[part] for part in rig.layout.positions)
    home_left, home_right = (rig.home_action[part] for part in rig.layout.positions)
    np.testing.assert_allclose(left - right, home_left - home_right, atol=1e-9)
    upper = np.array([rig.layout.upper[part][1] for part in rig.layout.positions])
    assert np.any(np.isclose([left[1], right[1]], upper))


def test_poses_move_relatively_and_a_new_grip_moves_nothing():
    robot = Follower(G1)
    room = np.array([3.0, -2.0, 1.5, 0, 0, 0, 1.0])  # the device's room has nothing to do with the robot's
    robot.go(Hands(poses={"right": room}), 3)
    np.testing.assert_allclose(robot.measured, g1.HOME_ACTION, atol=1e-12)
    moved = room + np.array([0.1, 0, 0, 0, 0, 0, 0])
    action = robot.go(Hands(poses={"right": moved}), 60)
    np.testing.assert_allclose(action[g1.RIGHT_POSITION], g1.HOME_ACTION[g1.RIGHT_POSITION] + [0.1, 0, 0], atol=1e-9)
    robot.drive.release()  # the person lets go, brings the hand back, and grips again
    action = robot.go(Hands(poses={"right": room}), 20)
    np.testing.assert_allclose(action[g1.RIGHT_POSITION], g1.HOME_ACTION[g1.RIGHT_POSITION] + [0.1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(action[g1.LEFT_POSITION], g1.HOME_ACTION[g1.LEFT_POSITION], atol=1e-12)


def test_after_a_pause_it_begins_where_the_robot_is():
    robot = Follower(YAM)
    robot.go(Hands(twists={"left": AHEAD}), 30)
    robot.measured = YAM.home_action.copy()  # somebody moved it meanwhile
    short = robot.drive.move(Hands(), robot.measured, robot.now + 200_000_000)
    assert short[0] > YAM.home_action[0] + 0.05  # authority still holds the same clutch: no step back
    again = robot.drive.move(Hands(), robot.measured, robot.now + 900_000_000)
    np.testing.assert_allclose(again, YAM.home_action, atol=1e-12)


def test_an_absolute_grasp_waits_until_it_is_passed():
    robot = Follower(YAM)
    robot.measured[7] = 0.2  # it holds something
    for share, opening in ((0.0, 0.2), (0.5, 0.2), (0.78, 0.22), (0.9, 0.1), (0.0, 1.0)):
        action = robot.go(Hands(grasps={"left": share}), 30)
        assert action[7] == pytest.approx(opening), share


def test_two_triggers_on_one_squeeze_take_the_harder():
    robot = Follower(G1)
    action = robot.go(Hands(grasps={"left": 0.0, "right": 1.0}), 60)
    assert action[g1.SQUEEZE] == 0.0  # at rest it is not near yet: the right one jumped past
    robot.go(Hands(grasps={"left": 0.0, "right": 0.0}), 5)
    action = robot.go(Hands(grasps={"left": 0.2, "right": 0.6}), 60)
    assert action[g1.SQUEEZE] == pytest.approx(27.0)


def test_a_dead_man_counts_once_it_was_seen_released():
    dead_man = DeadMan()
    pressed = [(True, True), (False, True), (True, True), (True, False), (True, True), (False, True), (True, True)]
    assert [dead_man.update(*p) for p in pressed] == [False, False, True, False, False, False, True]


def test_lateness_knows_no_offset_and_forgets_a_clock_that_was_set():
    late = Lateness()
    assert late.of(1000.0, 5.0, 0.25) == 0.0
    assert late.of(1000.1, 5.4, 0.25) == pytest.approx(0.3, abs=1e-3)
    assert late.of(1000.5, 5.5, 0.25) == pytest.approx(0.0, abs=1e-3)
    assert [late.of(500.0 + t, 6.0 + t, 0.25) > 0.25 for t in np.arange(0.0, 1.0, 0.1)] == [True] * 10
    late.of(501.1, 7.1, 0.25)
    assert late.of(501.2, 7.2, 0.25) == 0.0


@pytest.mark.parametrize("values", [[0] * 6, [0, 0, 0, 0, 0, 0, 0], [np.nan, 0, 0, 0, 0, 0, 1], [99, 0, 0, 0, 0, 0, 1]])
def test_poses_that_are_none(values):
    with pytest.raises(ValueError):
        checked_pose(values)


def test_jumps_and_turned_rooms():
    pose = checked_pose([0.1, 0, 0, 0, 0, 0, 1.02])
    assert not has_jumped(pose, checked_pose([0.15, 0, 0, 0, 0, 0, 1]))
    assert has_jumped(pose, checked_pose([0.4, 0, 0, 0, 0, 0, 1]))
    assert has_jumped(pose, checked_pose([0.1, 0, 0, 0, 0, 1, 0]))
    np.testing.assert_allclose(turned(pose, np.pi / 2)[:3], [0, 0.1, 0], atol=1e-12)
