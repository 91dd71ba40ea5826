"""Unitree G1, 29 degrees of freedom: every number the controllers need, with its source.

Sources, named in the comments below:
  MJCF   the manufacturer's g1_29dof_rev_1_0 model, as shipped in `mjlab`; checked by tests/controllers/test_g1.py.
  motor  Unitree's motor data (rotor inertias, gears, torque and speed limits), published in mjlab's g1_constants.py.
  ours   chosen here; the comment says why.
"""

from __future__ import annotations

import numpy as np

CONTROL_DT = 0.002  # s; the robot's low-level interface runs at 500 Hz
REFERENCE_DT = 0.02  # s; authority -> controller, 50 Hz

_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")

JOINT_NAMES: tuple[str, ...] = (
    *(f"left_{name}_joint" for name in _LEG),
    *(f"right_{name}_joint" for name in _LEG),
    *(f"waist_{name}_joint" for name in ("yaw", "roll", "pitch")),
    *(f"left_{name}_joint" for name in _ARM),
    *(f"right_{name}_joint" for name in _ARM),
)  # MJCF order, which is also Unitree's motor order
NUM_JOINTS = len(JOINT_NAMES)
LEG_JOINTS = slice(0, 12)
WAIST_JOINTS = slice(12, 15)
ARM_JOINTS = slice(15, 29)


def _per_joint(leg: tuple[float, ...], waist: tuple[float, ...], arm: tuple[float, ...]) -> np.ndarray:
    """(29,) array from values for one leg (6), the waist (3) and one arm (7); left and right are equal."""
    values = np.array([*leg, *leg, *waist, *arm, *arm], dtype=float)
    values.flags.writeable = False
    return values


# N·m, motor: 7520-14 88, 7520-22 139, 5020 25, 4010 5; ankles and waist roll/pitch are two 5020 on a linkage.
TAU_MAX = _per_joint((88, 139, 88, 139, 50, 50), (88, 50, 50), (25, 25, 25, 25, 25, 5, 5))
# rad/s, motor.
DQ_MAX = _per_joint((32, 20, 32, 20, 37, 37), (32, 37, 37), (37, 37, 37, 37, 37, 22, 22))
# kg·m², rotor inertia seen through the gearbox (motor); the MJCF has none, both our models add it.
ARMATURE = _per_joint(
    (0.010177520, 0.025101925, 0.010177520, 0.025101925, 0.007219450, 0.007219450),
    (0.010177520, 0.007219450, 0.007219450),
    (0.003609725, 0.003609725, 0.003609725, 0.003609725, 0.003609725, 0.00425, 0.00425),
)
# rad, MJCF.
Q_LOWER = np.array(
    [-2.5307, -0.5236, -2.7576, -0.087267, -0.87267, -0.2618,
     -2.5307, -2.9671, -2.7576, -0.087267, -0.87267, -0.2618,
     -2.618, -0.52, -0.52,
     -3.0892, -1.5882, -2.618, -1.0472, -1.97222, -1.61443, -1.61443,
     -3.0892, -2.2515, -2.618, -1.0472, -1.97222, -1.61443, -1.61443]
)  # fmt: skip
Q_UPPER = np.array(
    [2.8798, 2.9671, 2.7576, 2.8798, 0.5236, 0.2618,
     2.8798, 0.5236, 2.7576, 2.8798, 0.5236, 0.2618,
     2.618, 0.52, 0.52,
     2.6704, 2.2515, 2.618, 2.0944, 1.97222, 1.61443, 1.61443,
     2.6704, 1.5882, 2.618, 2.0944, 1.97222, 1.61443, 1.61443]
)  # fmt: skip

# Gains of the motor law tau = tau_ff + kp (q_des - q) + kd (dq_des - dq). `ours`: the torque comes from the inverse
# dynamics, so kp only has to hold the joint against what the model does not know (friction, delay).
KP = _per_joint((60, 60, 60, 80, 30, 30), (60, 60, 60), (20, 20, 20, 20, 15, 8, 8))
KD = _per_joint((2.0, 2.0, 2.0, 3.0, 1.0, 1.0), (2.0, 2.0, 2.0), (1.0, 1.0, 1.0, 1.0, 0.6, 0.3, 0.3))
# Gains when nobody commands: no position, enough damping that a standing robot sinks instead of dropping.
KD_DAMP = _per_joint((8, 8, 8, 8, 4, 4), (6, 6, 6), (2, 2, 2, 2, 1, 0.5, 0.5))

# rad, the posture the redundant joints are pulled to (knees bent, elbows out of the torso), `ours`.
Q_HOME = _per_joint((-0.312, 0.0, 0.0, 0.669, -0.363, 0.0), (0, 0, 0), (-0.1, 0.25, 0.0, 0.6, 0.0, 0.0, 0.0)).copy()
Q_HOME[23] = -0.25  # the right arm mirrors the left: roll opposite
Q_HOME.flags.writeable = False

# Feet. MJCF: seven capsules of 1 cm radius at z = -0.025 in `*_ankle_roll_link`; their corners, slightly inside (ours).
FOOT_LINKS = ("left_ankle_roll_link", "right_ankle_roll_link")
SOLE_Z = -0.035  # m, sole plane in the foot link
FOOT_CORNERS = np.array([[x, y, SOLE_Z] for x in (0.115, -0.042) for y in (0.024, -0.024)])
FOOT_FRICTION = 0.5  # assumed by the controller; the model says 0.6

# Hands. `left_ee` / `right_ee`: middle of the palm surface, axes of `*_wrist_yaw_link` (x to the fingers, z up at home,
# the palm looks to -y on the left and +y on the right). MJCF: capsule (0.07 0 0)-(0.15 -0.02 0), radius 0.035.
HAND_LINKS = ("left_wrist_yaw_link", "right_wrist_yaw_link")
PALM_OFFSETS = np.array([[0.11, -0.045, 0.0], [0.11, 0.045, 0.0]])  # m, in the wrist yaw link
IMU_LINK = "pelvis"  # the IMU reports the pelvis orientation and body rates

_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
ACTION_CHANNELS: tuple[str, ...] = (
    *(f"left_ee.{axis}" for axis in _POSE),
    *(f"right_ee.{axis}" for axis in _POSE),
    "base.height",  # m, pelvis above the soles
    "torso.pitch",  # rad, forward positive
    "hands.squeeze",  # N, how hard the palms press towards each other when something is between them
)
ACTION_DIM = len(ACTION_CHANNELS)
LEFT_POSITION, LEFT_QUAT = slice(0, 3), slice(3, 7)
RIGHT_POSITION, RIGHT_QUAT = slice(7, 10), slice(10, 14)
BASE_HEIGHT, TORSO_PITCH, SQUEEZE = 14, 15, 16

# Poses are in `odom`: midpoint of the feet on the ground at reset, x forward, y left, z up. Metres, radians, newtons.
ACTION_LOWER = np.array([-0.2, -0.3, 0.05, -1, -1, -1, -1, -0.2, -0.7, 0.05, -1, -1, -1, -1, 0.40, -0.2, 0.0])
ACTION_UPPER = np.array([0.75, 0.7, 1.45, 1, 1, 1, 1, 0.75, 0.3, 1.45, 1, 1, 1, 1, 0.76, 1.0, 45.0])
# per second; the quaternion entries are the rotation's rad/s
ACTION_SPEED = np.array([0.6, 0.6, 0.6, 1.5, 1.5, 1.5, 1.5, 0.6, 0.6, 0.6, 1.5, 1.5, 1.5, 1.5, 0.35, 0.8, 120.0])
# per second²; `ours`: a 0.3 m step of the pelvis target stays inside the feet's friction and support
ACTION_ACCELERATION = np.array([8, 8, 8, 25, 25, 25, 25, 8, 8, 8, 25, 25, 25, 25, 2.5, 6.0, 1200.0])
HOME_ACTION = np.array([0.28, 0.22, 0.85, 0, 0, 0, 1, 0.28, -0.22, 0.85, 0, 0, 0, 1, 0.74, 0.0, 0.0])

# Leases, in control or reference periods; DESIGN: every command expires.
JOINT_COMMAND_LEASE_PERIODS = 50  # 100 ms, then the robot side damps
REFERENCE_LEASE_PERIODS = 10  # 200 ms, then the controller balances at the last reference
FALL_TILT = np.deg2rad(60.0)  # beyond this the controller gives up and damps
