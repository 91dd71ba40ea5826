"""Arm rigs: every number the controller, the driver and the simulation need, with its source.

Sources, named in the comments below:
  MJCF   i2rt's YAM model with the crank gripper, as shipped in `mjlab`; checked by tests/arm/test_arm.py.
  i2rt   constants that the manufacturer publishes with its own driver (github.com/i2rt-robotics/i2rt, robots/config).
  motor  Damiao's data sheets of the DM-J4340-2EC (joints 1 to 3) and DM-J4310-2EC (joints 4 to 6, gripper).
  ours   chosen here; the comment says why.

Channels are named as the G1's: a single arm is a left one. `<side>_gripper` is the opening, 0 closed, 1 open, in
joint messages too; its effort is the torque of the gripper's motor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers.action_layout import ActionLayout, pose_channels

CONTROL_DT = 0.004  # s; 7 motors take 1.8 ms of a 1 Mbit/s bus per cycle, i2rt runs the same 250 Hz
REFERENCE_DT = 0.02  # s; authority -> controller, 50 Hz
CAMERA_DT = 0.060  # s
JOINT_COMMAND_LEASE_PERIODS = 25  # 100 ms, then the arm's side holds where it is
REFERENCE_LEASE_PERIODS = 10  # 200 ms, then the controller holds the last reference


@dataclass(frozen=True, eq=False)
class ArmDescription:
    """One kind of arm. Arrays (n,) over `joints`, N·m, rad, s; the model file is named, not opened."""

    model: str  # what arm_model.model_path finds: an MJCF or URDF
    joints: tuple[str, ...]  # in the model, from base to hand
    ee_link: str
    ee_position: tuple[float, float, float]  # m, in the link
    ee_quat_xyzw: tuple[float, float, float, float]
    q_lower: np.ndarray
    q_upper: np.ndarray
    q_home: np.ndarray
    dq_max: np.ndarray
    ddq_max: np.ndarray
    tau_max: np.ndarray
    armature: np.ndarray
    kp: np.ndarray
    kd: np.ndarray
    has_gripper: bool
    stiffness: tuple[float, float]  # N/m, N·m/rad at the hand
    force_max: tuple[float, float]  # N, N·m that the stiffness may push with


@dataclass(frozen=True)
class Mount:
    """Where an arm stands in the rig's frame: m, and its heading, rad."""

    side: str
    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0


@dataclass(frozen=True, eq=False)
class Arms:
    """The arms of one rig: all of one kind, on a plane `table` m high (None: no plane), which hands must not enter."""

    description: ArmDescription
    mounts: tuple[Mount, ...]
    table: float | None = 0.0


def _values(*numbers: float) -> np.ndarray:
    values = np.array(numbers, dtype=float)
    values.flags.writeable = False
    return values


# `left_ee`: middle between the finger pads, x to the fingertips, y the way the fingers open, z the side of the camera.
# MJCF: pads at x = 0, y = -0.044 of link_6, along its z; checked against the grasp site's heading.
YAM = ArmDescription(
    model="i2rt_yam",
    joints=tuple(f"joint{k}" for k in range(1, 7)),
    ee_link="link_6",
    ee_position=(0.0, -0.044, 0.1305),
    ee_quat_xyzw=(-0.5, -0.5, -0.5, 0.5),
    q_lower=_values(-2.61799, 0.0, 0.0, -1.5708, -1.5708, -2.0944),  # MJCF
    q_upper=_values(3.05433, 3.66519, 3.66519, 1.5708, 1.5708, 2.0944),
    q_home=_values(0.0, 1.80, 1.62, -1.27, 0.0, 0.0),  # ours: fingers down, in the middle of the table
    dq_max=_values(3.0, 3.0, 3.0, 6.0, 6.0, 6.0),  # ours: 0.6 of the motors' rated speed at 24 V
    ddq_max=_values(25.0, 25.0, 25.0, 60.0, 60.0, 60.0),  # ours: half of what 27 N·m do to the outstretched arm
    tau_max=_values(27.0, 27.0, 27.0, 7.0, 7.0, 7.0),  # motor, peak
    armature=_values(0.032, 0.032, 0.032, 0.0018, 0.0018, 0.0018),  # motor, as mjlab has it
    kp=_values(80.0, 80.0, 80.0, 10.0, 10.0, 10.0),  # i2rt
    kd=_values(5.0, 5.0, 5.0, 1.5, 1.5, 1.5),  # i2rt
    has_gripper=True,
    stiffness=(900.0, 12.0),  # ours: about what kp gives in the middle of the table, but the same in all directions
    force_max=(50.0, 6.0),  # ours: what the wrist motors can hold
)

# (id on the arm's CAN bus, type) of each joint's motor, then the gripper's; positions count as the joints do (i2rt)
YAM_MOTORS = ((1, "DM4340"), (2, "DM4340"), (3, "DM4340"), (4, "DM4310"), (5, "DM4310"), (6, "DM4310"), (7, "DM4310"))
MOTOR_TIMEOUT_S = 0.4  # i2rt's setting: without a frame for so long a motor damps by itself
TEMPERATURE_WARN_C, TEMPERATURE_MAX_C = 75, 90  # ours; winding and power stage switch off at 100 and 120 (motor)

# A leader arm: six motors that carry themselves (i2rt: grav_comp_kd) and a handle, an encoder with two buttons.
LEADER_KD = _values(0.1, 0.1, 0.1, 0.3, 0.05, 0.05)
HANDLE_ID, HANDLE_TURN = 0x50E, 0.7  # CAN id; rad of its trigger from released to squeezed

# The crank gripper, MJCF and i2rt.
FINGER_STROKE = 0.0375  # m, of each finger from closed to open
GRIPPER_TURN = 2.7  # rad of the motor from closed to open: 10 to 165 of the crank's degrees
GRIPPER_KP = 20.0 * GRIPPER_TURN  # N·m of the motor per unit of opening; i2rt has 20 per rad
GRIPPER_KD = 0.5 * GRIPPER_TURN
GRIPPER_TAU_MAX = 0.7  # N·m, ours: 25 N a finger, which neither slips with a 0.5 kg cube nor crushes it
GRIPPER_STROKE_PLAY = 0.35  # rad that a found stroke may differ from GRIPPER_TURN
GRIPPER_DQ_MAX = 5.0  # 1/s: 13 rad/s of the motor


def make_layout(sides: tuple[str, ...], lower: np.ndarray, upper: np.ndarray, has_gripper: bool) -> ActionLayout:
    """Poses and grippers of the sides; lower and upper (3,) bound the hands' positions in the rig's frame, m."""
    channels: list[str] = []
    rows: list[tuple[float, float, float, float]] = []  # lower, upper, speed, acceleration
    for side in sides:
        channels += pose_channels(f"{side}_ee")
        rows += [(float(lower[k]), float(upper[k]), 0.6, 6.0) for k in range(3)]  # m
        rows += [(-1.0, 1.0, 2.0, 25.0)] * 4  # rad
        if has_gripper:
            channels.append(f"{side}_gripper")
            rows.append((0.0, 1.0, 4.0, 80.0))
    columns = np.array(rows).T.copy()
    return ActionLayout(tuple(channels), *columns)


def arm_joint_names(description: ArmDescription, mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Names in joint messages: the model's own for a single arm, with the side in front for several."""
    names: list[str] = []
    for mount in mounts:
        prefix = f"{mount.side}_" if len(mounts) > 1 else ""
        names += [prefix + joint for joint in description.joints]
        if description.has_gripper:
            names.append(f"{prefix}gripper")
    return tuple(names)


SINGLE = Arms(YAM, (Mount("left"),))
PAIR = Arms(YAM, (Mount("left", y=0.25), Mount("right", y=-0.25)))  # ours: side by side at one edge of a table
YAM_LAYOUT = make_layout(("left",), np.array([0.10, -0.40, 0.0]), np.array([0.60, 0.40, 0.50]), True)
BIMANUAL_LAYOUT = make_layout(("left", "right"), np.array([0.10, -0.55, 0.0]), np.array([0.60, 0.55, 0.50]), True)

# A Franka Panda behind its own ROS 2 driver, as an example of such arms. URDF: of the `example-robot-data` wheel; gains
# and accelerations are ours and move nothing, the arm's own driver takes positions. Its gripper is not driven.
PANDA = ArmDescription(
    model="panda",
    joints=tuple(f"panda_joint{k}" for k in range(1, 8)),
    ee_link="panda_hand_tcp",
    ee_position=(0.0, 0.0, 0.0),
    ee_quat_xyzw=(0.5**0.5, 0.0, 0.5**0.5, 0.0),  # our x is the tcp's z, our z its x
    q_lower=_values(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),  # URDF
    q_upper=_values(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    q_home=_values(0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785),  # Franka's own ready pose
    dq_max=_values(1.3, 1.3, 1.3, 1.3, 1.5, 1.5, 1.5),  # 0.6 of the URDF's
    ddq_max=_values(7.5, 5.0, 7.5, 7.5, 10.0, 10.0, 10.0),  # half of Franka's
    tau_max=_values(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),  # URDF
    armature=_values(0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1),
    kp=_values(600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0),
    kd=_values(30.0, 30.0, 30.0, 30.0, 10.0, 10.0, 5.0),
    has_gripper=False,
    stiffness=(1500.0, 60.0),
    force_max=(60.0, 10.0),
)
FRANKA = Arms(PANDA, (Mount("left"),))
PANDA_LAYOUT = make_layout(("left",), np.array([0.25, -0.6, 0.0]), np.array([0.75, 0.6, 0.8]), False)
