"""The arm controller goes where it is asked, and nowhere it must not; in contact it is a spring of bounded force."""

from __future__ import annotations

import numpy as np
import pytest

from controllers import arm
from controllers.arm_controller import ArmController, ArmSensors
from controllers.rigs import BIMANUAL_YAM, G1, YAM, Rig


class Ideal:
    """Arms that do what they are told: q = q_des."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.controller = rig, ArmController(rig)
        home = np.append(arm.YAM.q_home, 0.5)
        self.q = np.tile(home, len(rig.arms.mounts))
        self.dq = np.zeros(len(self.q))
        self.speed, self.nearest = np.zeros(len(self.q)), np.inf
        self.run(None, 1)

    def run(self, action: np.ndarray | None, steps: int) -> np.ndarray:
        """The pose after `steps` control steps."""
        for _ in range(steps):
            command = self.controller.step(ArmSensors(self.q, self.dq, np.zeros(len(self.q))), action)
            self.q, self.dq = command.q_des.copy(), command.dq_des.copy()
            self.speed = np.maximum(self.speed, np.abs(self.dq))
            arms = np.delete(self.q, np.arange(6, len(self.q), 7))
            self.nearest = min(self.nearest, float(self.controller.model.distances(arms).min()))
        return self.controller.measured_action


@pytest.fixture(scope="module")
def yam() -> Ideal:
    return Ideal(YAM)


def at(x: float, y: float, z: float, rig: Rig = YAM) -> np.ndarray:
    action = rig.home_action.copy()
    action[:3] = x, y, z
    return action


def test_reaches_poses_inside_the_workspace(yam):
    for x, y, z in ((0.3, 0.0, 0.13), (0.34, 0.12, 0.05), (0.25, -0.2, 0.08)):
        pose = yam.run(at(x, y, z), 500)
        np.testing.assert_allclose(pose[:3], (x, y, z), atol=1e-3)
        assert abs(pose[3:7] @ YAM.home_action[3:7]) == pytest.approx(1.0, abs=1e-4)


def test_limits_hold_wherever_it_is_sent(yam):
    rng = np.random.default_rng(3)
    for _ in range(12):
        action = rng.uniform(YAM.layout.lower, YAM.layout.upper)
        yam.run(action, 120)
        assert (yam.q[:6] >= arm.YAM.q_lower - 1e-9).all() and (yam.q[:6] <= arm.YAM.q_upper + 1e-9).all()
    assert (yam.speed[:6] <= arm.YAM.dq_max + 1e-9).all()
    assert yam.nearest > 0.0  # neither itself nor the table


def test_a_goal_in_the_table_ends_just_above_it():
    yam = Ideal(YAM)
    yam.run(at(0.3, 0.0, 0.0), 700)
    assert 0.003 < yam.nearest < 0.006


def test_an_outstretched_arm_stays_calm():
    yam = Ideal(YAM)
    action = at(0.60, 0.40, 0.50)
    action[3:7] = 0.0, 0.0, 0.0, 1.0
    yam.run(action, 1000)
    assert np.abs(yam.dq).max() < 0.02  # at rest, not trembling around the singularity
    before = yam.q.copy()
    yam.run(at(0.3, 0.0, 0.13), 600)
    assert np.abs(yam.q - before).max() > 0.3
    np.testing.assert_allclose(yam.controller.measured_action[:3], (0.3, 0.0, 0.13), atol=1e-3)


def test_two_arms_keep_apart():
    both = Ideal(BIMANUAL_YAM)
    action = BIMANUAL_YAM.home_action.copy()
    action[1], action[9] = -0.2, 0.2  # each to the other's side
    both.run(action, 800)
    assert 0.0 < both.nearest < 0.02


def test_none_holds_and_grippers_follow(yam):
    yam.run(at(0.3, 0.0, 0.13), 500)
    held = yam.run(None, 50)
    np.testing.assert_allclose(held[:3], (0.3, 0.0, 0.13), atol=1e-3)
    action = at(0.3, 0.0, 0.13)
    action[7] = 0.9
    assert yam.run(action, 200)[7] == pytest.approx(0.9, abs=1e-3)


def test_the_hand_is_a_spring_of_bounded_force():
    controller = ArmController(YAM)
    q, zero = np.append(arm.YAM.q_home, 0.5), np.zeros(7)
    controller.step(ArmSensors(q, zero, zero), None)
    gravity = controller.step(ArmSensors(q, zero, zero), None).tau_ff[:6]
    pose = controller.measured_action
    pose[2] += 0.01  # held where it is, asked for 1 cm more
    for _ in range(500):
        command = controller.step(ArmSensors(q, zero, zero), pose)
    push = _hand_force(controller, q, command, gravity)
    assert push[2] == pytest.approx(0.01 * arm.YAM.stiffness[0], rel=0.15)
    pose[2] += 0.2
    for _ in range(1500):
        command = controller.step(ArmSensors(q, zero, zero), pose)
    assert np.linalg.norm(_hand_force(controller, q, command, gravity)) < 1.5 * arm.YAM.force_max[0]


def _hand_force(controller: ArmController, q: np.ndarray, command, gravity: np.ndarray) -> np.ndarray:
    """(3,) N at the hand of a command to motors that stand still at q."""
    tau = command.tau_ff[:6] + arm.YAM.kp * (command.q_des[:6] - q[:6]) + arm.YAM.kd * command.dq_des[:6] - gravity
    return np.linalg.lstsq(controller._now[5][0].T, tau, rcond=None)[0][:3]


def test_torques_stay_inside_the_motors_limits(yam):
    q = yam.q + 0.5  # far from where the command is
    command = yam.controller.step(ArmSensors(q, np.full(7, 2.0), np.zeros(7)), None)
    tau = command.tau_ff + 0.0
    tau[:6] += arm.YAM.kp * (command.q_des - q)[:6] + arm.YAM.kd * (command.dq_des - 2.0)[:6]
    assert (np.abs(tau[:6]) <= arm.YAM.tau_max + 1e-9).all()
    yam.controller.reset()


def test_bad_input_is_refused():
    controller = ArmController(YAM)
    good = ArmSensors(np.append(arm.YAM.q_home, 0.5), np.zeros(7), np.zeros(7))
    with pytest.raises(ValueError, match="7 finite numbers"):
        controller.step(ArmSensors(np.zeros(6), np.zeros(6), np.zeros(6)), None)
    with pytest.raises(ValueError, match=r"\(8,\)"):
        controller.step(good, np.zeros(17))
    with pytest.raises(ValueError, match="not finite"):
        controller.step(good, np.full(8, np.nan))
    with pytest.raises(ValueError, match="no rig of arms"):
        ArmController(G1)
