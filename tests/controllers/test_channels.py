"""The action vector: round trips, limits, refusals."""

import numpy as np
import pinocchio as pin
import pytest

from controllers import channels, g1, rotations


def random_action(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    action = rng.uniform(g1.ACTION_LOWER, g1.ACTION_UPPER)
    return channels.normalise(action)


def test_split_and_join_are_inverse() -> None:
    action = random_action(1)
    np.testing.assert_array_equal(channels.join(channels.split(action)), action)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named(bad: float) -> None:
    action = g1.HOME_ACTION.copy()
    action[g1.BASE_HEIGHT] = bad
    with pytest.raises(ValueError, match="base.height"):
        channels.validated(action)


def test_wrong_shape_and_zero_quaternion_are_refused() -> None:
    with pytest.raises(ValueError, match="left_ee.x"):
        channels.validated(np.zeros(16))
    action = g1.HOME_ACTION.copy()
    action[g1.LEFT_QUAT] = 0.0
    with pytest.raises(ValueError, match="quaternion"):
        channels.validated(action)


def test_step_towards_never_exceeds_the_speeds_and_arrives() -> None:
    current, target, dt = random_action(2), random_action(3), 0.02
    for _ in range(400):
        new, clamped = channels.step_towards(current, target, dt)
        for position in (g1.LEFT_POSITION, g1.RIGHT_POSITION):
            speed = np.linalg.norm(new[position] - current[position]) / dt
            assert speed <= g1.ACTION_SPEED[position][0] + 1e-9
        for quat in (g1.LEFT_QUAT, g1.RIGHT_QUAT):
            turn = rotations.to_rotvec(rotations.multiply(rotations.conjugate(current[quat]), new[quat]))
            assert np.linalg.norm(turn) / dt <= g1.ACTION_SPEED[quat][0] + 1e-9
        current = new
    assert clamped == []
    np.testing.assert_allclose(np.abs(current[g1.LEFT_QUAT] @ target[g1.LEFT_QUAT]), 1.0, atol=1e-9)
    np.testing.assert_allclose(current[[0, 1, 2, 14, 15, 16]], target[[0, 1, 2, 14, 15, 16]], atol=1e-9)


def test_interpolation_ends_where_it_should() -> None:
    a, b = random_action(4), random_action(5)
    np.testing.assert_allclose(channels.interpolate(a, b, 0.0), a, atol=1e-12)
    end = channels.interpolate(a, b, 1.0)
    assert abs(end[g1.RIGHT_QUAT] @ b[g1.RIGHT_QUAT]) == pytest.approx(1.0)


def test_rotations_agree_with_pinocchio() -> None:
    for seed in range(20):
        pin.seed(seed)
        a, b = pin.SE3.Random().rotation, pin.SE3.Random().rotation
        quat_a, quat_b = pin.Quaternion(a).coeffs(), pin.Quaternion(b).coeffs()  # x y z w
        np.testing.assert_allclose(rotations.matrix(quat_a), a, atol=1e-12)
        np.testing.assert_allclose(rotations.matrix(rotations.multiply(quat_a, quat_b)), a @ b, atol=1e-12)
        np.testing.assert_allclose(rotations.to_rotvec(quat_a), pin.log3(a), atol=1e-9)
        assert abs(rotations.from_matrix(a) @ quat_a) == pytest.approx(1.0)
        np.testing.assert_allclose(rotations.matrix(rotations.from_rotvec(pin.log3(a))), a, atol=1e-12)
