"""The whole-body QP's solution against the physics it claims to obey."""

import numpy as np
import pinocchio as pin
import pytest

from controllers import g1, whole_body
from controllers.estimator import SOLE_MIDDLE_X
from controllers.free_optimum import free_optimum
from controllers.g1_controller import G1Controller, Sensors
from controllers.model import G1Model, g1_mjcf
from controllers.self_collision import RANGE, SelfCollision
from controllers.sole import sole_rows
from controllers.whole_body import WholeBodyQP

STANDING = np.concatenate([[0.0, 0.0, 0.757, 0, 0, 0, 1], g1.Q_HOME])
NO_ROWS = np.zeros((0, 35)), np.zeros(0)
BOTH = np.array([True, True])


def solve(action: np.ndarray, v: np.ndarray | None = None, load: float = 0.0) -> tuple[G1Model, np.ndarray, np.ndarray]:
    """Model, accelerations and torques of one step at the standing pose."""
    model = G1Model()
    qp = WholeBodyQP(model)
    v = np.zeros(35) if v is None else v
    model.update(STANDING, v)
    still = np.zeros(17)
    a, tau = qp.solve(STANDING, v, action, still, still, BOTH, SOLE_MIDDLE_X, np.array([0.0, 0.0, load]), NO_ROWS)
    return model, a, tau


def test_planted_feet_do_not_accelerate() -> None:
    v = np.random.default_rng(0).normal(0, 0.05, 35)
    model, a, _ = solve(g1.HOME_ACTION, v)
    feet = model.terms.J[:12] @ a + model.terms.drift[:12]
    np.testing.assert_allclose(feet, -20.0 * model.terms.twist[:12], atol=1e-6)


def test_torques_and_foot_forces_balance_the_floating_base() -> None:
    """M a + h - S'tau must be a wrench the soles can give: it lies in the span of the feet and inside the cones."""
    model, a, tau = solve(g1.HOME_ACTION)
    residual = model.terms.M @ a + model.terms.nle
    residual[6:] -= tau
    wrenches, error, *_ = np.linalg.lstsq(model.terms.J[:12].T, residual, rcond=None)
    np.testing.assert_allclose(model.terms.J[:12].T @ wrenches, residual, atol=1e-6)
    vertical = wrenches[2] + wrenches[8]
    expected = model.mass * (9.81 + (model.terms.J_com @ a)[2])
    assert vertical == pytest.approx(expected, rel=1e-3)


def test_sole_rows_describe_pressure_inside_the_sole() -> None:
    rows = sole_rows()
    for corner in g1.FOOT_CORNERS * 0.99:
        force = np.array([0.0, 0.0, 100.0])
        assert np.all(rows @ np.concatenate([force, np.cross([*corner[:2], g1.SOLE_Z], force)]) <= 1e-9)
    outside = np.array([0.2, 0.0, g1.SOLE_Z])
    assert np.any(rows @ np.concatenate([force, np.cross(outside, force)]) > 0)
    assert np.any(rows @ np.array([60.0, 0, 100.0, 0, 60.0 * g1.SOLE_Z, 0]) > 0)  # beyond friction


def test_a_raised_hand_target_accelerates_the_hand_up() -> None:
    here = g1.HOME_ACTION.copy()
    model = G1Model()
    model.update(STANDING, np.zeros(35))
    here[g1.LEFT_POSITION], here[g1.RIGHT_POSITION] = model.terms.positions[2], model.terms.positions[3]
    model, a, _ = solve(here)
    neutral = (model.terms.J[12:15] @ a)[2]
    higher = here.copy()
    higher[g1.LEFT_POSITION] += [0, 0, 0.02]
    model, a, _ = solve(higher)
    assert (model.terms.J[12:15] @ a)[2] > neutral


def test_a_carried_load_costs_leg_torque() -> None:
    _, _, free = solve(g1.HOME_ACTION)
    _, _, loaded = solve(g1.HOME_ACTION, load=-10.0)
    shoulders = [g1.JOINT_NAMES.index(f"{side}_shoulder_pitch_joint") for side in ("left", "right")]
    assert np.all(np.abs(loaded - free)[shoulders] > 1.0)


def test_joints_at_a_limit_are_not_pushed_on() -> None:
    model = G1Model()
    qp = WholeBodyQP(model)
    elbow = 7 + g1.JOINT_NAMES.index("left_elbow_joint")
    q, v = STANDING.copy(), np.zeros(35)
    q[elbow] = g1.Q_UPPER[elbow - 7]
    v[elbow - 1] = 0.5
    model.update(q, v)
    action, still = g1.HOME_ACTION, np.zeros(17)
    a, _ = qp.solve(q, v, action, still, still, BOTH, SOLE_MIDDLE_X, np.zeros(3), NO_ROWS)
    assert a[elbow - 1] <= -2 * 25.0 * 0.5 + 1e-6


def test_torques_never_exceed_the_motors() -> None:
    v = np.random.default_rng(3).normal(0, 1.5, 35)
    _, _, tau = solve(g1.HOME_ACTION, v)
    assert np.all(np.abs(tau) <= g1.TAU_MAX)


def test_without_active_limits_the_short_way_gives_the_solver_s_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    action = g1.HOME_ACTION.copy()
    action[[2, 9]] += 0.02
    v = np.random.default_rng(1).normal(0, 0.02, 35)
    _, short, tau = solve(action, v)
    monkeypatch.setattr(whole_body, "free_optimum", lambda *_: False)
    _, long, tau_long = solve(action, v)
    np.testing.assert_allclose(short, long, atol=1e-8)
    np.testing.assert_allclose(tau, tau_long, atol=1e-6)


def test_free_optimum_says_no_where_a_limit_binds() -> None:
    rng = np.random.default_rng(0)
    H, x = np.eye(5), np.zeros(5)
    H[:3, :3] += 0.2
    A = rng.normal(0, 1, (3, 5))
    upper, lower = np.full(8, 1e30), np.full(8, -1e30)
    upper[5:7] = lower[5:7] = [0.3, -0.2]
    assert free_optimum(H, np.ones(5), A, upper, lower, 2, 3, x)
    np.testing.assert_allclose(A[:2] @ x, [0.3, -0.2], atol=1e-12)
    upper[0] = x[0] - 0.01
    assert not free_optimum(H, np.ones(5), A, upper, lower, 2, 3, x)


def test_collision_distances_are_those_of_the_collision_library_and_rows_their_derivatives() -> None:
    model = G1Model()
    collision = SelfCollision(model)
    geometry = pin.buildGeomFromMJCF(model.model, str(g1_mjcf()), pin.GeometryType.COLLISION)
    ids = {g.name.removesuffix("_collision"): i for i, g in enumerate(geometry.geometryObjects)}
    for first, second in collision.pairs:
        geometry.addCollisionPair(pin.CollisionPair(ids[first], ids[second]))
    rng = np.random.default_rng(0)
    for _ in range(20):
        q = STANDING.copy()
        q[19:] = rng.uniform(0.6 * g1.Q_LOWER[12:], 0.6 * g1.Q_UPPER[12:])
        v = rng.normal(0, 1, 35)
        data, geometry_data = model.model.createData(), geometry.createData()
        pin.computeDistances(model.model, data, geometry, geometry_data, q)
        expected = np.array([result.min_distance for result in geometry_data.distanceResults])
        model.update(q, v)
        apart = expected > 0  # how deep a pair is inside each other is measured in different ways
        distances = collision.distances()
        np.testing.assert_allclose(distances[apart], expected[apart], atol=1e-6)
        rows, _ = collision.rows(v)
        near, step = np.flatnonzero(distances < RANGE), 1e-6
        model.update(pin.integrate(model.model, q, step * v), v)
        rates = (collision.distances() - distances)[near] / step
        model.update(q, v)
        np.testing.assert_allclose(collision.rows(v)[0] @ v, rates, atol=2e-3)
        assert len(rows) == len(near)


def test_arms_told_into_the_torso_stop_short_of_it() -> None:
    from sim.g1_world import G1World

    world, controller = G1World(), G1Controller()
    world.reset(0)
    action = g1.HOME_ACTION.copy()
    action[g1.LEFT_POSITION], action[g1.RIGHT_POSITION] = (0.12, -0.05, 1.0), (0.12, 0.05, 1.0)
    model = G1Model()
    collision = SelfCollision(model)
    nearest = np.inf
    for k in range(1500):
        world.step(controller.step(world.sensors(), action))
        if k % 25 == 0:
            model.update(np.concatenate([np.zeros(3), [0, 0, 0, 1], world.sensors().q]), np.zeros(35))
            nearest = min(nearest, float(collision.distances().min()))
    assert nearest > 0.0 and not controller.fallen


def test_a_fallen_robot_is_damped_and_nan_actions_are_refused() -> None:
    controller = G1Controller()
    tilted = np.array([0.0, np.sin(0.6), 0.0, np.cos(0.6)])  # 69 degrees
    still = np.zeros(29)
    upright = Sensors(g1.Q_HOME.copy(), still, still, np.array([0, 0, 0, 1.0]), np.zeros(3), np.zeros(3))
    assert controller.measured_action is None
    controller.step(upright, None)
    bad = g1.HOME_ACTION.copy()
    bad[0] = np.nan
    with pytest.raises(ValueError, match="left_ee.x"):
        controller.step(upright, bad)
    fallen = Sensors(g1.Q_HOME.copy(), still, still, tilted, np.zeros(3), np.zeros(3))
    assert controller.step(fallen, g1.HOME_ACTION).damp and controller.fallen
