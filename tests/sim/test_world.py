"""The controller on the simulated robot: what it must be able to do, and what the world must never tell it."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from controllers import g1
from controllers.g1_controller import G1Controller, JointCommand
from sim.control_loop import ControlLoop
from sim.expert import BoxExpert
from sim.g1_box import G1BoxTask
from sim.g1_world import G1World


def run(world: G1World, controller: G1Controller, action: np.ndarray | None, seconds: float) -> None:
    for _ in range(round(seconds / g1.CONTROL_DT)):
        world.step(controller.step(world.sensors(), action))


def clear_floor(world: G1World) -> None:
    """Take stand, shelf and box out of the robot's way."""
    world.model.body_pos[world.model.body("stand").id] = (3, 0, 0.2)
    world.model.body_pos[world.model.body("shelf").id] = (4, 0, 0.8)
    world.data.qpos[world.model.joint("box").qposadr[0] :][:3] = (3, 0, 0.6)


@pytest.fixture()
def world() -> G1World:
    world = G1World(noise=True, command_delay=1)
    world.reset(7)
    clear_floor(world)
    return world


def test_squats_a_third_of_a_metre_and_stands_up_again(world: G1World) -> None:
    controller = G1Controller()
    run(world, controller, g1.HOME_ACTION, 1.0)
    tall = world.data.qpos[2]
    low = g1.HOME_ACTION.copy()
    low[g1.BASE_HEIGHT], low[g1.TORSO_PITCH] = 0.43, 0.6
    low[[2, 9]] = 0.5
    run(world, controller, low, 2.5)
    assert tall - world.data.qpos[2] > 0.30
    run(world, controller, g1.HOME_ACTION, 2.5)
    assert world.data.qpos[2] == pytest.approx(tall, abs=0.01) and not controller.fallen


def test_palms_reach_their_targets(world: G1World) -> None:
    controller = G1Controller()
    action = g1.HOME_ACTION.copy()
    action[g1.LEFT_POSITION], action[g1.RIGHT_POSITION] = (0.35, 0.25, 1.0), (0.30, -0.15, 0.75)
    run(world, controller, action, 3.0)
    measured = controller.measured_action
    for position in (g1.LEFT_POSITION, g1.RIGHT_POSITION):
        assert np.linalg.norm(measured[position] - action[position]) < 0.02


def test_estimate_follows_the_true_pelvis_from_imu_and_encoders(world: G1World) -> None:
    controller = G1Controller()
    start = world.data.qpos[:3].copy()
    worst = 0.0
    for k in range(2000):
        action = g1.HOME_ACTION.copy()
        action[g1.BASE_HEIGHT] = 0.74 - 0.15 * min(1.0, k / 800)
        world.step(controller.step(world.sensors(), action))
        if k == 0:
            offset = controller.base.position - start
        worst = max(worst, float(np.abs(controller.base.position - offset - world.data.qpos[:3]).max()))
    assert worst < 0.01
    assert controller.base.contacts.all()


def test_a_robot_hanging_in_the_air_has_no_contacts(world: G1World) -> None:
    controller = G1Controller()
    run(world, controller, g1.HOME_ACTION, 0.5)
    pelvis = world.model.body("pelvis").id
    for _ in range(750):
        height, speed = world.data.qpos[2], world.data.qvel[2]
        lift = 34.0 * 9.81 + 2000.0 * (1.0 - height) - 400.0 * speed  # N, a gantry's rope on a spring
        world.data.xfrc_applied[pelvis, 2] = max(0.0, lift)
        world.data.qvel[3:6] *= 0.9  # and somebody who steadies it
        sensors = world.sensors()
        controller.step(sensors, g1.HOME_ACTION)
        world.step(JointCommand(g1.Q_HOME.copy(), np.zeros(29), np.zeros(29)))
    assert not controller.base.contacts.any()


def test_survives_a_shove(world: G1World) -> None:
    controller = G1Controller()
    run(world, controller, g1.HOME_ACTION, 1.0)
    torso = world.model.body("torso_link").id
    world.data.xfrc_applied[torso, 0] = 50.0
    run(world, controller, g1.HOME_ACTION, 0.15)  # 7.5 N·s: the capture point leaves 2 cm to the toes
    world.data.xfrc_applied[torso, 0] = 0.0
    run(world, controller, g1.HOME_ACTION, 2.0)
    assert not controller.fallen and world.data.qpos[2] > 0.7


def test_no_command_damps_instead_of_dropping(world: G1World) -> None:
    controller = G1Controller()
    run(world, controller, g1.HOME_ACTION, 0.5)
    for _ in range(25):
        world.step(None)
    assert world.applied.damp
    assert abs(world.data.qvel[2]) < 0.5  # free fall would be at 0.49 m/s by now, and still accelerating
    world.step(controller.step(world.sensors(), None))
    world.step(controller.step(world.sensors(), None))
    assert not world.applied.damp


def test_what_is_applied_is_clamped() -> None:
    world = G1World()
    wild = JointCommand(np.full(29, 9.0), np.zeros(29), np.full(29, 1e4))
    world.step(wild)
    assert np.all(world.applied.q_des <= g1.Q_UPPER) and np.all(world.applied.tau_ff <= g1.TAU_MAX)
    assert np.all(np.abs(world.data.actuator_force) <= g1.TAU_MAX + 1e-9)


def test_same_seed_same_motion_to_the_last_bit() -> None:
    runs = []
    for _ in range(2):
        world, controller = G1World(noise=True), G1Controller()
        world.reset(3)
        run(world, controller, g1.HOME_ACTION, 0.3)
        runs.append(world.data.qpos.copy())
    np.testing.assert_array_equal(runs[0], runs[1])


def test_ground_pressure_is_read_from_torques() -> None:
    """While the robot squats, what the estimator says of it follows the contact forces within 1 cm."""
    world, controller = G1World(noise=True), G1Controller()
    world.reset(0)
    low = g1.HOME_ACTION.copy()
    low[[2, 9, g1.BASE_HEIGHT]] -= 0.2
    shown, true = [], []
    for _ in range(1200):
        world.step(controller.step(world.sensors(), low))
        assert controller.base is not None
        shown.append(controller.base.pressure_x)
        true.append(_pressure_x(world))
    window = np.ones(100) / 100
    apart = np.convolve(shown, window, "valid") - np.convolve(true, window, "valid")
    assert np.abs(apart[100:]).max() < 0.01


def _pressure_x(world: G1World) -> float:
    """m, where the floor pushes on the soles."""
    force, total, moment = np.zeros(6), 0.0, 0.0
    for i in range(world.data.ncon):
        contact = world.data.contact[i]
        if world.model.geom(contact.geom1).name == "floor":
            mujoco.mj_contactForce(world.model, world.data, i, force)
            total += force[0]
            moment += force[0] * contact.pos[0]
    return moment / max(total, 1.0)


@pytest.mark.parametrize("seed", [2001, 2004])
def test_a_box_pushed_against_the_shelf_topples_nobody(seed: int) -> None:
    """The demonstrator believes the shelf 10 cm lower than it is and pushes on; without yielding palms it fell."""
    world = G1World()
    task, loop = G1BoxTask(world), ControlLoop(world)
    scene = task.randomise(seed)
    loop.reset()
    expert, start = BoxExpert(replace(scene, shelf_height=scene.shelf_height - 0.1), seed), loop.reference
    carried_s = expert.start_of("lower")
    while world.time < carried_s + 4.0:
        pushed = expert.act(min(world.time, carried_s), start)
        pushed[[0, 7]] += min(0.15, 0.1 * max(0.0, world.time - carried_s))
        loop.advance(pushed)
        assert not task.fallen(), f"fallen at {world.time:.1f} s"
