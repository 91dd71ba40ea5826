"""The whole-body step beside mink's, and beside what Pinocchio and a textbook QP cost alone; interleaved in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import daqp
import numpy as np
import pinocchio as pin

from controllers import g1
from controllers.g1_controller import SOLVE_EVERY, G1Controller
from controllers.model import G1Model
from controllers.sole import sole_rows
from sim.assets import g1_spec
from sim.g1_world import G1World

ROUNDS = 1500
SETTLE_STEPS = 300


def whole_body_step() -> dict[str, dict[str, Any]]:
    """Medians of: our step (sensors in, joint command out), mink.solve_ik, and the floor."""
    ours, mink_step, floor = _our_step(), _mink_step(), _floor_step()
    times = _interleaved([ours, mink_step, floor])
    step_us, mink_us, floor_us = (float(np.median(t)) for t in times)
    detail = {"step_us": round(step_us, 1), "mink_us": round(mink_us, 1), "floor_us": round(floor_us, 1)}
    return {
        "wbc_step_vs_mink": {"value": step_us / mink_us, "peer": f"mink {mink_us:.0f} µs", **detail},
        "wbc_step_vs_floor": {"value": step_us / floor_us, "peer": f"floor {floor_us:.0f} µs", **detail},
    }


def _interleaved(calls: list[Callable[[], Any]]) -> list[np.ndarray]:
    """Microseconds of each call, taken in turn so that all see the same machine."""
    times = np.zeros((len(calls), ROUNDS))
    for k in range(-50, ROUNDS):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if k >= 0:
                times[i, k] = (time.perf_counter() - start) * 1e6
    return list(times)


def _our_step() -> Callable[[], Any]:
    """Sensors in, joint command out: estimator, kinematics and dynamics, reference filter, self-collision, QP,
    integration. mink is handed its state; ours estimates it, which counts in its time."""
    world, controller = G1World(), G1Controller()
    world.reset(0)
    for _ in range(SETTLE_STEPS * SOLVE_EVERY):
        world.step(controller.step(world.sensors(), g1.HOME_ACTION))
    sensors = world.sensors()

    def step() -> None:
        for _ in range(SOLVE_EVERY):  # one step with a solution, and those between it and the next, which integrate
            controller.step(sensors, g1.HOME_ACTION)

    return step


def _mink_step() -> Callable[[], Any]:
    """Two feet, two wrists, torso and pelvis orientation, CoM, posture; position and velocity limits."""
    import mink

    model = g1_spec().compile()
    configuration = mink.Configuration(model)
    q = configuration.data.qpos.copy()
    q[2], q[7:] = 0.757, g1.Q_HOME
    configuration.update(q)
    frames = [
        mink.FrameTask("left_foot", "site", position_cost=100, orientation_cost=100),
        mink.FrameTask("right_foot", "site", position_cost=100, orientation_cost=100),
        mink.FrameTask("left_palm", "site", position_cost=10, orientation_cost=0.5),
        mink.FrameTask("right_palm", "site", position_cost=10, orientation_cost=0.5),
        mink.FrameTask("torso_link", "body", position_cost=0, orientation_cost=4),
        mink.FrameTask("pelvis", "body", position_cost=0, orientation_cost=0.3),
    ]
    for task in frames:
        task.set_target_from_configuration(configuration)
    com, posture = mink.ComTask(cost=100), mink.PostureTask(model, cost=0.02)
    com.set_target(configuration.data.subtree_com[0].copy())
    posture.set_target(q)
    speeds = {name: float(limit) for name, limit in zip(g1.JOINT_NAMES, g1.DQ_MAX, strict=True)}
    limits = [mink.ConfigurationLimit(model), mink.VelocityLimit(model, speeds)]
    tasks = [*frames, com, posture]

    def step() -> np.ndarray:
        configuration.update(q)  # state in: kinematics are part of a step, as in ours
        return mink.solve_ik(configuration, tasks, g1.CONTROL_DT, "daqp", limits=limits)

    return step


def _floor_step() -> Callable[[], Any]:
    """Pinocchio's terms and the textbook QP (35 accelerations, 24 corner forces), assembled before, nothing else."""
    model = G1Model()
    q, v = np.concatenate([[0, 0, 0.757, 0, 0, 0, 1], g1.Q_HOME]), np.zeros(35)
    model.update(q, v)
    problem = _textbook_qp(model, v)
    data, zero = model.data, np.zeros(35)

    def step() -> None:
        pin.crba(model.model, data, q)
        pin.nonLinearEffects(model.model, data, q, v)
        pin.forwardKinematics(model.model, data, q, v, zero)
        pin.computeJointJacobians(model.model, data)
        pin.jacobianCenterOfMass(model.model, data, False)
        pin.updateFramePlacements(model.model, data)
        for frame in model.frames:
            pin.getFrameJacobian(model.model, data, frame, pin.LOCAL_WORLD_ALIGNED)
        _, _, flag, _ = daqp.solve(*problem)
        if flag < 1:
            raise ArithmeticError("the floor's QP has no solution")

    return step


def _textbook_qp(model: G1Model, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """H, f, A, upper, lower, sense with the same tasks, four corner forces a foot and no elimination."""
    G = np.zeros((2, 6, 12))
    for corner, r in enumerate(g1.FOOT_CORNERS):
        G[:, :3, 3 * corner : 3 * corner + 3] = np.eye(3)
        G[:, 3:, 3 * corner : 3 * corner + 3] = pin.skew(r)
    JG = np.concatenate([model.terms.J[0:6].T @ G[0], model.terms.J[6:12].T @ G[1]], axis=1)  # (35, 24)
    tasks = np.concatenate([model.terms.J[12:30], model.terms.J_com[:2]])
    weights = np.concatenate([np.full(6, 10.0), np.full(6, 10.0), np.full(6, 4.0), np.full(2, 100.0)])
    H = np.diag(np.concatenate([np.full(35, 0.02), np.full(24, 2e-6)]))
    H[:35, :35] += tasks.T * weights @ tasks
    mu = -sole_rows()[0, 2]
    friction = np.zeros((32, 59))
    for point in range(8):
        for k, (axis, sign) in enumerate(((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))):
            friction[4 * point + k, 35 + 3 * point + axis] = sign
            friction[4 * point + k, 35 + 3 * point + 2] = -mu
    torque = np.concatenate([model.terms.M[6:], -JG[6:]], axis=1)
    equal = np.zeros((18, 59))
    equal[:6, :35], equal[:6, 35:], equal[6:, :35] = model.terms.M[:6], -JG[:6], model.terms.J[:12]
    b = np.concatenate([-model.terms.nle[:6], -20.0 * model.terms.J[:12] @ v - model.terms.drift[:12]])
    bounds = np.concatenate([np.full(6, 1e30), np.full(29, 200.0), np.full(24, 600.0)])
    low = np.concatenate([-bounds[:35], np.tile([-600.0, -600.0, 0.0], 8)])
    upper = np.concatenate([bounds, b, np.zeros(32), g1.TAU_MAX - model.terms.nle[6:]])
    lower = np.concatenate([low, b, np.full(32, -1e30), -g1.TAU_MAX - model.terms.nle[6:]])
    sense = np.zeros(59 + 18 + 32 + 29, dtype=np.int32)
    sense[59:77] = 5
    return H, np.zeros(59), np.concatenate([equal, friction, torque]), upper, lower, sense
