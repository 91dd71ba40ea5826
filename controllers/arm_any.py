"""A rig from any URDF or MJCF of an arm: its limits are the file's, what a file does not say is chosen to be calm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pinocchio as pin

from controllers import arm, rigs
from controllers.arm import ArmDescription, Arms, Mount
from controllers.arm_model import ArmModel
from controllers.rigs import Rig

SPEED_SHARE = 0.5  # of the file's joint speeds
ACCELERATION_S = 0.3  # to full speed
GAIN_TAU, DAMPING_RATIO = 10.0, 0.1  # rad that the full torque holds against a joint: 1 / GAIN_TAU; kd per kp
REACH_SHARE = 0.9  # of the distance from base to outstretched hand that actions may ask for


def any_arm_rig(name: str, path: Path, ee_link: str, joints: tuple[str, ...] = ()) -> Rig:
    """A single arm without a gripper, moved from `ee_link`; without `joints` all of the file's.

    Raises:
        ValueError: joints or link that the file does not have, or joints without limits.
    """
    is_urdf = path.suffix == ".urdf"
    model = pin.buildModelFromUrdf(str(path)) if is_urdf else pin.buildModelFromMJCF(str(path))
    joints = joints or tuple(model.names[1:])
    missing = [joint for joint in joints if not model.existJointName(joint)]
    if missing:
        raise ValueError(f"{path.name} has no joint {', '.join(missing)}; it has: {', '.join(model.names[1:])}")
    ids = [model.joints[model.getJointId(joint)] for joint in joints]
    lower, upper = (np.array([limit[j.idx_q] for j in ids])
                    for limit in (model.lowerPositionLimit, model.upperPositionLimit))  # fmt: skip
    speed, tau = (np.array([limit[j.idx_v] for j in ids]) for limit in (model.velocityLimit, model.effortLimit))
    limits = np.stack([lower, upper, speed, tau])
    if not np.isfinite(limits).all() or (speed <= 0).any() or (tau <= 0).any() or (np.abs(limits) > 1e6).any():
        raise ValueError(f"{path.name} does not limit every joint's position, speed and effort; add <limit ...> to it")
    description = ArmDescription(
        model=str(path), joints=joints, ee_link=ee_link, ee_position=(0.0, 0.0, 0.0), ee_quat_xyzw=(0.0, 0.0, 0.0, 1.0),
        q_lower=lower, q_upper=upper, q_home=0.5 * (lower + upper), dq_max=SPEED_SHARE * speed,
        ddq_max=SPEED_SHARE * speed / ACCELERATION_S, tau_max=tau, armature=np.zeros(len(joints)), kp=GAIN_TAU * tau,
        kd=DAMPING_RATIO * GAIN_TAU * tau, has_gripper=False, stiffness=(1000.0, 40.0), force_max=(50.0, 8.0),
    )  # fmt: skip
    return _placed(name, Arms(description, (Mount("left"),), table=None))


def _placed(name: str, arms: Arms) -> Rig:
    """The rig whose hand is at home where the middle of the joints' ranges brings it."""
    model = ArmModel(arms)
    reach = REACH_SHARE * _reach(model)
    layout = arm.make_layout(("left",), np.full(3, -reach), np.full(3, reach), has_gripper=False)
    R, p = model.forward(np.array(arms.description.q_home))
    return rigs.arm_rig(name, arms, layout, (), p, R)


def _reach(model: ArmModel) -> float:
    """m from the base to the hand of an outstretched arm, at most."""
    return float(np.linalg.norm(model.offset_p, axis=1).sum() + np.linalg.norm(model.ee_p))
