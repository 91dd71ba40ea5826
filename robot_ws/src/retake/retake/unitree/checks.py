"""What a G1 must say of itself before it may be moved. Records are LowState's (retake.unitree.wire.LOW_STATE)."""

from __future__ import annotations

import numpy as np

from controllers.g1 import JOINT_NAMES, NUM_JOINTS

MODE_MACHINE = 5  # g1_29dof_rev_1_0, the model that controllers.g1 has its numbers from
# unitree_ros, robots/g1_description/README.md
MODELS = {
    1: "g1_23dof", 2: "g1_29dof", 3: "g1_29dof_lock_waist", 4: "g1_23dof_rev_1_0", 5: "g1_29dof_rev_1_0",
    6: "g1_29dof_lock_waist_rev_1_0", 9: "g1_dual_arm", 10: "g1_23dof_mode_10", 11: "g1_29dof_mode_11",
    12: "g1_29dof_mode_12 (waist locked)", 13: "g1_29dof_mode_13", 14: "g1_29dof_mode_14 (waist locked)",
    15: "g1_29dof_mode_15", 16: "g1_29dof_mode_16 (waist locked)",
}  # fmt: skip
CASING_MAX_C, WINDING_MAX_C = 85, 120  # °C, Unitree's own limits (unitree_sdk2, g1/common/terminations.hpp)
BATTERY_MIN_PERCENT = 20  # the same source


def model_problem(record: np.ndarray) -> str | None:
    """Why this is not the robot that our constants describe."""
    mode = int(record["mode_machine"])
    if mode == MODE_MACHINE:
        return None
    return (f"mode_machine is {mode} ({MODELS.get(mode, 'unknown')}), allowed is {MODE_MACHINE} "
            f"({MODELS[MODE_MACHINE]}): another robot needs constants of its own in controllers/g1.py")


def silent_joints(record: np.ndarray) -> list[str]:
    """Joints whose motor says nothing at all."""
    motors = record["motor"][:NUM_JOINTS]
    says = (motors["q"] != 0) | (motors["vol"] != 0) | np.any(motors["temperature"] != 0, axis=1)
    return [name for name, is_heard in zip(JOINT_NAMES, says, strict=True) if not is_heard]


def hot_joints(record: np.ndarray) -> list[str]:
    """`name 91 °C` of each joint whose casing or winding is too hot."""
    heat = record["motor"]["temperature"][:NUM_JOINTS]
    hot = (heat[:, 0] > CASING_MAX_C) | (heat[:, 1] > WINDING_MAX_C)
    return [f"{JOINT_NAMES[i]} {heat[i].max()} °C" for i in np.flatnonzero(hot)]


def hottest_joint(record: np.ndarray) -> str:
    """`name 41 °C` of the joint that is nearest to its limit."""
    heat = record["motor"]["temperature"][:NUM_JOINTS].astype(int)
    worst = int(np.argmin(np.minimum(CASING_MAX_C - heat[:, 0], WINDING_MAX_C - heat[:, 1])))
    return f"{JOINT_NAMES[worst]} {heat[worst].max()} °C"


def state_problem(record: np.ndarray) -> str | None:
    """The first thing in a state that forbids to start; None when it may."""
    if problem := model_problem(record):
        return problem
    if silent := silent_joints(record):
        return (f"{len(silent)} of {NUM_JOINTS} motors do not answer: {', '.join(silent)}; switch the robot off "
                "and on, and look at the cable of that joint")
    if hot := hot_joints(record):
        return (f"too hot: {', '.join(hot)}; allowed are {CASING_MAX_C} °C at the casing and {WINDING_MAX_C} °C in the "
                "winding: let it cool on its gantry")
    return None
