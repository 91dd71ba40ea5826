"""Constants against the MJCF, compiled kinematics against Pinocchio and MuJoCo, distances against Coal."""

from __future__ import annotations

import mujoco
import numpy as np
import pinocchio as pin
import pytest

from controllers import arm, arm_distances, arm_kernels, rotations
from controllers.arm_model import ArmModel, model_path
from controllers.rigs import BIMANUAL_YAM, YAM


@pytest.fixture(scope="module")
def single() -> ArmModel:
    return ArmModel(arm.SINGLE)


@pytest.fixture(scope="module")
def pair() -> ArmModel:
    return ArmModel(arm.PAIR)


def postures(model: ArmModel, count: int = 5) -> list[np.ndarray]:
    rng, arms = np.random.default_rng(1), len(model.mounts)
    d = model.description
    return [rng.uniform(np.tile(d.q_lower, arms), np.tile(d.q_upper, arms)) for _ in range(count)]


def test_limits_are_those_of_the_mjcf():
    model = mujoco.MjModel.from_xml_path(str(model_path("i2rt_yam")))
    ranges = np.array([model.joint(name).range for name in arm.YAM.joints])
    np.testing.assert_allclose(ranges, np.stack([arm.YAM.q_lower, arm.YAM.q_upper], axis=1), atol=1e-5)
    assert model.joint("left_finger").range[1] == pytest.approx(arm.FINGER_STROKE, abs=1e-4)


def test_the_hand_is_between_the_pads_and_looks_along_the_fingers(single):
    model = mujoco.MjModel.from_xml_path(str(model_path("i2rt_yam")))
    data = mujoco.MjData(model)
    for q in postures(single):
        data.qpos[:6] = q
        mujoco.mj_kinematics(model, data)
        R, p = single.forward(q)
        pads = [data.geom(f"{side}_down4_collision").xpos for side in ("lf", "rf")]
        away = R[0].T @ (0.5 * (pads[0] + pads[1]) - p[0])
        np.testing.assert_allclose(away[1:], 0.0, atol=1e-9)  # the pads' middle lies on the hand's x axis
        site = data.site("grasp_site").xmat.reshape(3, 3)
        np.testing.assert_allclose(R[0][:, 0], site[:, 2], atol=1e-9)
        np.testing.assert_allclose(R[0][:, 1], data.joint("left_finger").xaxis, atol=1e-9)


def test_kinematics_agree_with_pinocchio(pair):
    for q in postures(pair):
        R, p = pair.forward(q)
        for k, ((model, data), joints) in enumerate(zip(pair.models, pair.joints, strict=True)):
            mount = pair.mounts[k]
            pin.framesForwardKinematics(model, data, q[joints])
            link = data.oMf[model.getFrameId("link_6")]
            ee = link * pin.XYZQUATToSE3(np.array([*arm.YAM.ee_position, *arm.YAM.ee_quat_xyzw]))
            np.testing.assert_allclose(p[k], ee.translation + [mount.x, mount.y, 0.0], atol=1e-12)
            np.testing.assert_allclose(R[k], ee.rotation, atol=1e-12)


def test_jacobian_is_the_derivative(pair):
    q, step = postures(pair)[0], 1e-6
    J = jacobian(pair, q)
    for i in range(pair.n):
        moved = q.copy()
        moved[i] += step
        (R0, p0), (R1, p1) = pair.forward(q), pair.forward(moved)
        for k in range(2):
            np.testing.assert_allclose(J[k, :3, i], (p1[k] - p0[k]) / step, atol=1e-5)
            turn = rotations.to_rotvec(rotations.from_matrix(R1[k] @ R0[k].T))
            np.testing.assert_allclose(J[k, 3:, i], turn / step, atol=1e-5)


def jacobian(model: ArmModel, q: np.ndarray) -> np.ndarray:
    R, p, z = np.zeros((model.n, 3, 3)), np.zeros((model.n, 3)), np.zeros((model.n, 3))
    _, hand_p = model.forward(q)
    J = np.zeros((len(model.mounts), 6, model.n))
    arm_kernels.forward(model.parent, model.offset_R, model.offset_p, model.axis, model.slides, q, R, p, z)
    arm_kernels.jacobian(model.parent, model.slides, model.ee_joint, p, z, hand_p, J)
    return J


def test_rotation_vectors_at_the_half_turn_too():
    out = np.zeros(3)
    for rotvec in ([0.0, 0.0, 0.0], [1e-8, 0, 0], [0.3, -0.2, 1.0], [np.pi, 0, 0], [0, np.pi * 0.6, np.pi * 0.8]):
        B = rotations.matrix(rotations.from_rotvec(np.array(rotvec)))
        arm_kernels.turn_between(np.eye(3), B, out)
        np.testing.assert_allclose(rotations.matrix(rotations.from_rotvec(out)), B, atol=1e-7)


def test_distances_and_their_rates(pair):
    rng, n = np.random.default_rng(2), pair.n
    q = np.tile(arm.YAM.q_home, 2) + rng.uniform(-0.3, 0.3, n)
    q[0], q[6] = -0.9, 0.9  # towards each other
    rows, near, step = np.zeros((len(pair.pairs), n)), np.zeros(len(pair.pairs)), 1e-7
    R, p, z = np.zeros((n, 3, 3)), np.zeros((n, 3)), np.zeros((n, 3))
    arm_kernels.forward(pair.parent, pair.offset_R, pair.offset_p, pair.axis, pair.slides, q, R, p, z)
    count = arm_distances.distance_rows(pair.parent, pair.slides, R, p, z, pair.capsule_joint, pair.capsule_ends,
                                        pair.capsule_radius, pair.pairs, pair.table, np.inf, rows, near)
    assert count == len(pair.pairs) > 500
    for i in range(n):
        moved = q.copy()
        moved[i] += step
        change = (pair.distances(moved) - near) / step
        is_smooth = np.abs(change - rows[:, i]) < 1e-4
        assert is_smooth.mean() > 0.99  # where the nearest points do not jump between ends


def test_inverse_kinematics_returns_to_the_pose(single):
    for q in postures(single, 3):
        R, p = single.forward(q)
        found = single.inverse_kinematics(R, p, np.clip(q + 0.1, arm.YAM.q_lower, arm.YAM.q_upper))
        np.testing.assert_allclose(single.forward(found)[1], p, atol=1e-3)
    with pytest.raises(ValueError, match="cannot be at"):
        single.inverse_kinematics(np.eye(3)[None], np.array([[2.0, 0, 0]]), np.array(arm.YAM.q_home))


def test_rigs_name_channels_as_the_g1_does():
    assert YAM.layout.channels == (*(f"left_ee.{a}" for a in ("x", "y", "z", "qx", "qy", "qz", "qw")), "left_gripper")
    assert len(BIMANUAL_YAM.layout.channels) == 16 and BIMANUAL_YAM.joint_names[7] == "right_joint1"
    assert YAM.joint_names == (*arm.YAM.joints, "gripper")
    for rig in (YAM, BIMANUAL_YAM):
        np.testing.assert_allclose(rig.layout.validated(rig.home_action), rig.home_action, atol=1e-12)


def test_missing_model_says_what_there_is():
    with pytest.raises(FileNotFoundError, match="i2rt_yam"):
        model_path("no_such_arm")
