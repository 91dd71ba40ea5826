"""SIGKILL of every node while the G1 carries the box: it stays on its feet, or is damped, and the node comes back."""

from __future__ import annotations

import time

import numpy as np
import pytest

from controllers import g1
from retake.ros import conversions
from sim.expert import BoxExpert
from sim.g1_box import draw_scene

SEED = 3
LIFTED_M = 0.04
LEASE_NS = 100_000_000  # of joint_command
KEPT_DEAD_S = 13.0  # wall time; in lockstep the robot's time waits 10 s for a controller
SURVIVED = ("retake.recording.recorder", "sim.camera_sim", "retake.policy.policy_server", "retake.control.authority")

pytestmark = pytest.mark.heavy


def carry(operator):
    """Take over at once and lift the box as the expert does, then keep holding it."""
    expert = BoxExpert(draw_scene(SEED))
    start = {}

    def hand(stamp: int, measured: np.ndarray) -> np.ndarray:
        start.setdefault("ns", stamp)
        start.setdefault("action", measured)
        t = (stamp - start["ns"]) / 1e9
        if "held" not in start and operator.truth["box_position"][2] > draw_scene(SEED).position[2] + LIFTED_M:
            start["held"] = t
        return expert.act(start.get("held", t), start["action"])

    operator.begin("take_over")
    operator.hand = hand
    operator.until(lambda: "held" in start, 180.0, "a lifted box")
    operator.for_sim_s(0.5)


def is_heard(operator, module: str) -> bool:
    """The node has said something in the last second and a half."""
    at, _ = operator.heard.get(module.split(".")[-1], (0.0, None))
    return time.monotonic() - at < 1.5


def test_it_stands_on_when_others_die(launch):
    graph = launch(seed=SEED)
    operator = graph.operator
    carry(operator)
    for module in SURVIVED:
        graph.kill(module)
        operator.heard.pop(module.split(".")[-1])  # what the dead one said last
        operator.until(lambda module=module: is_heard(operator, module), 180.0,f"diagnostics of the new {module}")
        operator.for_sim_s(1.0)
        assert not operator.truth["fallen"], module
        assert operator.measured[g1.ACTION_CHANNELS.index("base.height")] > 0.4, module
    # a new world with everybody in it: the respawned nodes do their work
    operator.hand = None
    operator.begin()
    operator.for_sim_s(2.0)
    assert operator.authority == "policy"
    assert operator.newest_source() == "policy"
    assert graph.end() == 0


def test_without_controller_it_is_damped(launch):
    graph = launch(seed=SEED)
    operator = graph.operator
    carry(operator)
    operator.watch_applied()
    operator.for_sim_s(0.1)
    graph.keep_dead("retake.control.whole_body_controller", KEPT_DEAD_S)
    operator.heard.pop("whole_body_controller")
    operator.until(lambda: is_heard(operator, "retake.control.whole_body_controller"), 180.0,"the new controller")
    damped = [conversions.stamp_ns(message.header.stamp) for message in operator.applied if not any(message.effort)]
    commanded = [conversions.stamp_ns(message.header.stamp) for message in operator.applied if any(message.effort)]
    assert damped
    last = max(stamp for stamp in commanded if stamp < damped[0])
    assert damped[0] - last <= LEASE_NS + 4_000_000
    operator.hand = None
    operator.call("episode/discard")
    operator.begin()
    operator.for_sim_s(1.0)
    assert not operator.truth["fallen"]


def test_a_new_world_after_the_old_one_died(launch):
    graph = launch(seed=SEED)
    operator = graph.operator
    carry(operator)
    operator.hand = None
    graph.kill("sim.g1_sim")
    operator.call("episode/discard")
    operator.truth = {}
    operator.begin()
    operator.for_sim_s(1.0)
    assert operator.authority == "policy"
    assert not operator.truth["fallen"]
