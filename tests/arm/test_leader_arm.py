"""The leader arm: it carries itself, and moves the robot only while its dead man's button is held."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np
import pytest
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers import arm
from controllers.rigs import YAM
from retake.arms import dm_motor
from retake.errors import UserError
from retake.ros import conversions, qos
from retake.teleop.leader_arm import Grasp, LeaderArm
from sim import arm_table
from sim.arm_world import ArmWorld
from sim.dm_emulator import EmulatedArms
from tests.nodes.conftest import Probe, options

channels = (f"leader{k}" for k in itertools.count())


class Leader:
    """An emulated leader with its node, and a robot that says where it is."""

    def __init__(self, probe: Probe) -> None:
        self.probe, self.channel = probe, next(channels)
        self.arms = EmulatedArms(ArmWorld(YAM, arm_table.add_scene), "virtual", [self.channel], are_leaders=True)
        self.chain = self.arms.chains[0]
        self.arms.start()
        self.authority = probe.create_publisher(String, "authority", qos.LATCHED)
        self.measured = probe.create_publisher(JointTrajectory, "measured_action", 10)
        self.actions = probe.listen(JointTrajectory, "teleop_action")

    def start(self) -> LeaderArm:
        self.node = self.probe.add(LeaderArm(**options(self.probe, interface="virtual", can=self.channel)))
        return self.node

    def say(self, authority: str) -> None:
        self.authority.publish(String(data=authority))
        self.measured.publish(conversions.action_message(YAM.home_action, 1, YAM))

    def push(self, joint: int, torque: float) -> None:
        """A person's hand on the leader."""
        with self.arms.lock:
            self.arms.world.data.qfrc_applied[self.arms.world._dq[joint]] = torque

    @property
    def q(self) -> np.ndarray:
        return self.arms.world.sensors().q[:6]


@pytest.fixture
def leader(yam_probe: Probe) -> Iterator[Leader]:
    leader = Leader(yam_probe)
    yield leader
    leader.arms.stop.set()
    leader.arms.join(5)


def test_floats_and_speaks_only_while_the_button_is_held(yam_probe, leader):
    leader.start()
    yam_probe.until(lambda: leader.node._leaders.readings[0] is not None or leader.node._leaders.refusal, 60)
    assert leader.node._leaders.refusal is None
    before = leader.q
    yam_probe.serve(0.6)
    np.testing.assert_allclose(leader.q, before, atol=0.03)  # it carries itself
    leader.say("teleop")
    yam_probe.serve(0.3)
    assert not leader.actions  # nobody holds the button
    leader.chain.buttons = (True, False)
    yam_probe.until(lambda: len(leader.actions) > 3, 10)
    first = conversions.action_from(leader.actions[0], YAM)
    np.testing.assert_allclose(first, YAM.home_action, atol=0.02)  # it begins where the robot is, gripper included
    leader.push(0, 1.5)
    yam_probe.until(lambda: abs(conversions.action_from(leader.actions[-1], YAM)[1] - first[1]) > 0.05, 10)
    leader.push(0, 0.0)
    leader.chain.buttons = (False, False)
    yam_probe.serve(0.1)
    count, left_at = len(leader.actions), conversions.action_from(leader.actions[-1], YAM)
    leader.push(0, -1.5)  # the person brings the leader back, without moving the robot
    yam_probe.serve(0.4)
    leader.push(0, 0.0)
    assert len(leader.actions) == count
    leader.chain.buttons = (True, False)
    yam_probe.until(lambda: len(leader.actions) > count, 10)
    np.testing.assert_allclose(conversions.action_from(leader.actions[count], YAM), left_at, atol=0.02)
    leader.say("policy")
    yam_probe.serve(0.2)
    count = len(leader.actions)
    yam_probe.serve(0.3)
    assert len(leader.actions) == count  # without authority it is silent


def test_the_second_button_takes_over_and_goes_back(yam_probe, leader):
    called = []

    def serve(name, authority):
        def answer(_, response):
            called.append(name)
            leader.say(authority)
            response.success = True
            return response

        return yam_probe.create_service(Trigger, name, answer)

    serve("leader_arm/take_over", "teleop")
    serve("rewind", "rewind")
    back = yam_probe.listen(JointTrajectory, "rewind_action")
    leader.start()
    yam_probe.until(lambda: leader.node._leaders.readings[0] is not None, 60)
    leader.say("policy")
    yam_probe.serve(0.3)
    leader.chain.buttons = (False, True)
    yam_probe.until(lambda: called == ["leader_arm/take_over"], 10)
    leader.chain.buttons = (False, False)
    yam_probe.until(lambda: leader.node._authority == "teleop" and not leader.node._buttons[1], 10)
    leader.chain.buttons = (False, True)
    yam_probe.until(lambda: len(back) > 3, 10)
    assert conversions.path_speed_from(back[-1]) == -1.0 and back[-1].header.frame_id == "leader_arm"
    leader.chain.buttons = (False, False)
    yam_probe.until(lambda: not leader.node._buttons[1], 10)
    yam_probe.serve(0.1)
    count = len(back)
    yam_probe.serve(0.3)
    assert len(back) == count and called[1:] == ["rewind"]  # let go, nothing goes back
    leader.chain.buttons = (True, False)
    yam_probe.until(lambda: called[2:] == ["leader_arm/take_over"], 10)
    yam_probe.until(lambda: len(leader.actions) > 3, 10)
    assert leader.actions[-1].header.frame_id == "leader_arm"


def test_silence_of_the_handle_ends_the_stream(yam_probe, leader):
    leader.start()
    leader.chain.buttons = (True, False)
    yam_probe.until(lambda: leader.node._leaders.readings[0] is not None, 60)
    leader.say("teleop")
    yam_probe.until(lambda: len(leader.actions) > 3, 10)
    leader.chain.trigger = None  # unplugged
    yam_probe.serve(0.3)
    count = len(leader.actions)
    yam_probe.serve(0.3)
    assert len(leader.actions) == count and "leader" in leader.node._diagnostics._trouble


def test_no_handle_and_a_dead_motor_are_refused(yam_probe, leader):
    leader.chain.trigger = None
    node = leader.start()
    end = time.monotonic() + 30
    while node._leaders.refusal is None and time.monotonic() < end:
        time.sleep(0.01)
    assert "handle" in str(node._leaders.refusal)
    with pytest.raises(UserError):
        yam_probe.serve(1.0)


def test_the_gripper_waits_for_the_trigger_to_pass_it():
    pose = YAM.home_action[:7]
    grasp = Grasp(pose.copy(), 0.2)  # the robot holds something
    grasp.follow(pose, 1.0, True)  # the trigger is released
    assert grasp.gripper == 0.2
    for opening in (0.8, 0.5, 0.3):
        grasp.follow(pose, opening, True)
        assert grasp.gripper == 0.2
    grasp.follow(pose, 0.15, True)
    assert grasp.gripper == 0.15
    grasp.follow(pose, 0.6, True)
    assert grasp.gripper == 0.6


def test_handle_frames_round_trip():
    trigger, buttons = dm_motor.unpack_handle(dm_motor.pack_handle(0.35, (False, True)))
    assert trigger == pytest.approx(0.35, abs=1e-3) and buttons == (False, True)
    assert arm.HANDLE_TURN > 0.35
