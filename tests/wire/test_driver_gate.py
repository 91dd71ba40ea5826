"""Whether the motors may move, as a pure state machine; and the checks of one state."""

from __future__ import annotations

import numpy as np
import pytest

from controllers import g1
from retake.g1.gate import (
    ANSWER_S,
    GAP_S,
    KD_POSTURE,
    KP_POSTURE,
    LEASE_NS,
    Gate,
    Phase,
)
from retake.g1.walk import LEASE_S, PERIOD_S, SPEED_MAX, Walk
from retake.unitree import checks
from retake.unitree.rpc import SET_STAND_HEIGHT, SET_VELOCITY
from retake.unitree.wire import state_encoder

Q = g1.Q_HOME + 0.1
NONE: frozenset[str] = frozenset()
START = frozenset({"start"})
MS = 1_000_000


def command(stamp: int, q_des: np.ndarray = g1.Q_HOME, tau: float = 1.0, damp: bool = False) -> tuple:
    return stamp, np.array([q_des, np.full(29, 0.5), np.full(29, tau)]), damp


def rows_at(gate: Gate, now_s: float) -> np.ndarray:
    """(5, 29) what the motors get at a time."""
    gate.update(Q, now_s)
    return gate.setpoints.copy()


def in_posture(ramp_s: float = 2.0) -> Gate:
    """A gate that START has opened at time 10 s, and that has reached its posture."""
    gate = Gate(ramp_s)
    gate.found_good()
    gate.on_state(1000 * MS, Q, NONE, 9.99)
    gate.on_state(1002 * MS, Q, START, 10.0)
    gate.on_state(1004 * MS, Q, NONE, 10.0 + ramp_s)
    assert gate.phase is Phase.POSTURE
    return gate


def started(ramp_s: float = 2.0) -> Gate:
    """A gate that A has opened; active since time 20 s and stamp 2 s."""
    gate = in_posture(ramp_s)
    gate.on_state(1990 * MS, Q, frozenset({"A"}), 19.0)
    assert gate.phase is Phase.HANDING and gate.is_silent(19.0)
    gate.on_command(*command(1990 * MS))  # an answer to a state before the gap
    gate.on_state(1992 * MS, Q, NONE, 19.1)
    gate.on_state(1998 * MS, Q, NONE, 19.7)
    assert gate.phase is Phase.HANDING and not gate.is_silent(19.7)
    gate.on_command(*command(2000 * MS))
    gate.on_state(2000 * MS, Q, NONE, 20.0)
    assert gate.phase is Phase.ACTIVE
    return gate


def is_damping(gate: Gate, now_s: float) -> bool:
    rows = rows_at(gate, now_s)
    return np.array_equal(rows[0], Q) and not rows[1:4].any() and np.array_equal(rows[4], g1.KD_DAMP)


def test_nothing_moves_before_start():
    gate = Gate(2.0)
    gate.on_command(*command(0))
    gate.on_state(2 * MS, Q, START, 0.0)
    assert gate.phase is Phase.CHECKING and is_damping(gate, 0.0)
    gate.found_good()
    gate.on_state(4 * MS, Q, START, 0.0)  # held all the time: no press
    assert gate.phase is Phase.READY and is_damping(gate, 0.0)


def test_buttons_are_refused_while_something_is_wrong():
    gate = Gate(2.0)
    gate.found_good()
    gate.blocked = "another program writes rt/lowcmd"
    gate.on_state(4 * MS, Q, START, 0.0)
    assert gate.phase is Phase.READY and "another program" in gate.refusal
    gate.blocked = ""
    gate.on_state(6 * MS, Q, NONE, 0.0)
    gate.on_state(8 * MS, Q, START, 0.0)
    gate.on_state(10 * MS, Q, frozenset({"A"}), 1.0)
    assert gate.phase is Phase.POSTURE and "not reached" in gate.refusal


def test_without_a_controller_the_posture_is_kept():
    gate = in_posture()
    gate.on_state(2000 * MS, Q, frozenset({"A"}), 20.0)
    gate.on_state(2002 * MS, Q, NONE, 20.0 + GAP_S + ANSWER_S + 0.1)
    assert gate.phase is Phase.POSTURE and "no joint_command comes" in gate.refusal
    np.testing.assert_allclose(rows_at(gate, 25.0)[3], KP_POSTURE)
    np.testing.assert_allclose(rows_at(gate, 25.0)[0], g1.Q_HOME)


def test_gains_and_setpoints_rise_from_the_measured_pose_to_the_posture():
    gate = Gate(2.0)
    gate.found_good()
    gate.on_state(1002 * MS, Q, START, 10.0)
    shares = []
    for now_s in np.arange(10.0, 12.2, 0.1):
        s, rows = gate.update(Q, now_s), gate.setpoints
        shares.append(s)
        np.testing.assert_allclose(rows[0], Q + s * (g1.Q_HOME - Q), atol=1e-12)
        np.testing.assert_allclose(rows[3], s * KP_POSTURE)
        np.testing.assert_allclose(rows[4], g1.KD_DAMP + s * (KD_POSTURE - g1.KD_DAMP))
        assert not rows[1:3].any()
    assert shares[0] == 0.0 and shares[-1] == 1.0 and np.all(np.diff(shares) >= 0)
    assert max(np.diff(shares)) < 0.06


def test_commands_are_blended_in_from_the_posture():
    gate = started(ramp_s=2.0)
    before = rows_at(gate, 20.0)
    np.testing.assert_allclose(before[0], g1.Q_HOME)
    np.testing.assert_allclose(before[3], KP_POSTURE)
    half, whole = rows_at(gate, 20.5), rows_at(gate, 21.0)
    np.testing.assert_allclose(half, 0.5 * (before + whole), atol=1e-9)
    np.testing.assert_allclose(whole, [g1.Q_HOME, np.full(29, 0.5), np.full(29, 1.0), g1.KP, g1.KD])


def test_setpoints_are_clamped_to_the_motors_limits():
    gate = started(ramp_s=0.5)
    gate.on_command(*command(2002 * MS, np.full(29, 9.0), tau=-999.0))
    rows = rows_at(gate, 30.0)
    np.testing.assert_allclose(rows[0], g1.Q_UPPER)
    np.testing.assert_allclose(rows[2], -g1.TAU_MAX)


@pytest.mark.parametrize("end", [
    lambda gate: gate.on_state(2004 * MS, Q, frozenset({"L2", "B"}), 20.1),
    lambda gate: gate.on_state(2000 * MS + LEASE_NS + 2 * MS, Q, NONE, 20.1),
    lambda gate: gate.damp("a rival"),
])
def test_what_ends_it_keeps_it_ended_until_start(end):
    gate = started()
    end(gate)
    assert gate.phase is Phase.DAMPED and is_damping(gate, 30.0)
    stamp = 3000 * MS
    gate.on_command(*command(stamp))
    gate.on_state(stamp, Q, NONE, 30.0)
    assert gate.phase is Phase.DAMPED and is_damping(gate, 30.0)
    gate.on_state(stamp + 2 * MS, Q, START, 31.0)
    assert gate.phase is Phase.POSTURE and gate.update(Q, 31.0) == 0.0  # from the ramp's beginning


def test_l2_and_b_damp_the_posture_too():
    gate = in_posture()
    gate.on_state(1500 * MS, Q, frozenset({"L2", "B"}), 15.0)
    assert gate.phase is Phase.DAMPED and is_damping(gate, 15.0)


def test_a_controller_that_damps_is_obeyed():
    gate = started()
    gate.on_command(*command(2002 * MS, damp=True))
    assert is_damping(gate, 30.0)


def record(**fields: object) -> np.ndarray:
    """A healthy robot's state."""
    encoder = state_encoder()
    encoder.record["mode_machine"] = 5
    encoder.motors["temperature"][:29] = 40
    for name, value in fields.items():
        encoder.record[name] = value
    return encoder.record


def test_a_healthy_state_passes_and_another_robot_is_named():
    assert checks.state_problem(record()) is None
    problem = checks.state_problem(record(mode_machine=4))
    assert "mode_machine is 4 (g1_23dof_rev_1_0), allowed is 5 (g1_29dof_rev_1_0)" in problem
    assert "unknown" in checks.state_problem(record(mode_machine=77))


def test_silent_and_hot_joints_are_named():
    state = record()
    state["motor"]["temperature"][28] = 0
    assert "1 of 29 motors do not answer: right_wrist_yaw_joint" in checks.state_problem(state)
    state = record()
    state["motor"]["temperature"][4] = 90, 95
    assert "too hot: left_ankle_pitch_joint 95 °C; allowed are 85 °C" in checks.state_problem(state)
    assert checks.hottest_joint(state) == "left_ankle_pitch_joint 95 °C"
    state["motor"]["temperature"][4] = 60, 121
    assert checks.hot_joints(state) == ["left_ankle_pitch_joint 121 °C"]


def test_the_walk_follows_a_fresh_reference_and_stands_still_without_one():
    asked: list[tuple[int, dict]] = []
    walk = Walk(lambda api, parameter: asked.append((api, parameter)), has_height=True)
    walk.step(0.0, True)
    assert not asked  # nothing was ever commanded
    walk.on_reference({"base.height": 0.70, "base.vx": 9.0, "base.wz": -0.2}, 1.0)
    walk.step(1.0, True)
    assert asked == [(SET_VELOCITY, {"velocity": [SPEED_MAX[0], 0.0, -0.2], "duration": 0.5}),
                     (SET_STAND_HEIGHT, {"data": 0.70})]
    walk.step(1.0 + 0.5 * PERIOD_S, True)
    assert len(asked) == 2  # not more often than the period
    walk.step(1.0 + 2 * LEASE_S, True)
    assert asked[-1][1]["velocity"] == [0.0, 0.0, 0.0]  # stale
    count = len(asked)
    walk.step(9.0, True)
    assert len(asked) == count  # said once
    walk.on_reference({"base.height": 0.60, "base.vx": 0.1}, 10.0)
    walk.step(10.0, False)
    assert len(asked) == count  # not active


def test_a_stand_height_in_an_unknown_unit_is_never_sent():
    asked: list[int] = []
    walk = Walk(lambda api, _: asked.append(api), has_height=False)
    walk.on_reference({"base.height": 0.70}, 1.0)
    walk.step(1.0, True)
    assert not asked


def test_a_command_that_is_not_finite_damps():
    gate = started()
    with pytest.raises(ValueError, match="not finite"):
        gate.on_command(*command(2002 * MS, np.where(np.arange(29) == 3, np.nan, g1.Q_HOME)))
    assert is_damping(gate, 30.0)
