"""The robot's constants against its own model."""

import mujoco
import numpy as np
import pinocchio as pin
import pytest

from controllers import g1
from controllers.model import G1Model, g1_mjcf
from sim.g1_world import build_spec

MODEL = mujoco.MjModel.from_xml_path(str(g1_mjcf()))


def test_joint_names_and_limits_are_the_models() -> None:
    names = tuple(MODEL.joint(i).name for i in range(1, MODEL.njnt))
    assert names == g1.JOINT_NAMES
    np.testing.assert_allclose(g1.Q_LOWER, MODEL.jnt_range[1:, 0])
    np.testing.assert_allclose(g1.Q_UPPER, MODEL.jnt_range[1:, 1])


def test_home_is_inside_the_limits_and_symmetric() -> None:
    assert np.all(g1.Q_HOME > g1.Q_LOWER) and np.all(g1.Q_HOME < g1.Q_UPPER)
    model = G1Model()
    model.update(np.concatenate([[0, 0, 0.75, 0, 0, 0, 1], g1.Q_HOME]), np.zeros(35))
    mirrored = model.terms.positions[[1, 0, 3, 2]] * np.array([1, -1, 1])
    np.testing.assert_allclose(model.terms.positions[:4], mirrored, atol=2e-3)  # the MJCF's own left/right differences


def test_sole_corners_lie_on_the_outer_capsules() -> None:
    ends = []
    for k in (1, 2, 6, 7):
        geom = MODEL.geom(f"left_foot{k}_collision")
        axis = np.zeros(9)
        mujoco.mju_quat2Mat(axis, geom.quat)
        ends += [geom.pos + sign * geom.size[1] * axis.reshape(3, 3)[:, 2] for sign in (1, -1)]
        assert geom.pos[2] - geom.size[0] == pytest.approx(g1.SOLE_Z, abs=1e-6)
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    assert np.all(g1.FOOT_CORNERS[:, :2] > low[:2] - 0.01) and np.all(g1.FOOT_CORNERS[:, :2] < high[:2] + 0.01)


def test_mass_matrix_and_gravity_equal_mujocos() -> None:
    """Two independent readings of one MJCF: inertia, rotor inertia, joint order and frame conventions."""
    spec = build_spec()
    world = spec.compile()
    data = mujoco.MjData(world)
    rng = np.random.default_rng(0)
    q = g1.Q_HOME + rng.uniform(-0.2, 0.2, 29)
    quat = np.array([0.1, -0.2, 0.3, 0.9]) / np.linalg.norm([0.1, -0.2, 0.3, 0.9])  # xyzw
    joints = [world.joint(name).qposadr[0] for name in g1.JOINT_NAMES]
    dofs = [world.joint(name).dofadr[0] for name in g1.JOINT_NAMES]
    data.qpos[:7] = [0.1, 0.2, 0.9, quat[3], *quat[:3]]
    data.qpos[joints] = q
    mujoco.mj_forward(world, data)
    M = np.zeros((world.nv, world.nv))
    mujoco.mj_fullM(world, data, M)
    model = G1Model()
    model.update(np.concatenate([[0.1, 0.2, 0.9], quat, q]), np.zeros(35))
    np.testing.assert_allclose(model.terms.M[6:, 6:], M[np.ix_(dofs, dofs)], atol=1e-6)
    np.testing.assert_allclose(model.terms.nle[6:], data.qfrc_bias[dofs], atol=1e-5)
    assert model.mass == pytest.approx(pin.computeTotalMass(model.model))


def test_squeeze_limit_is_within_the_wrist() -> None:
    lever = g1.PALM_OFFSETS[0, 0]
    wrist_yaw = g1.TAU_MAX[g1.JOINT_NAMES.index("left_wrist_yaw_joint")]
    assert g1.ACTION_UPPER[g1.SQUEEZE] <= wrist_yaw / lever
