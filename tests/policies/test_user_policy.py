"""A class of one's own: the ten lines of its documentation work as they stand, here and in the graph; others are
refused by name before anything moves."""

import sys
import textwrap
import time

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.experimental import EventsExecutor
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import YAM
from policies import user_policy
from policies.execution import ChunkExecution
from policies.inference import answer
from policies.observation import Observation
from policies.policy_choice import User, choose
from retake.policy.policy_server import PolicyServer
from retake.ros import conversions, qos
from sim.rollout import Rollout

DOMAIN = 64
USER = User("yam", tuple(YAM.layout.channels), YAM.cameras, YAM.home_action)
TEN_LINES = textwrap.dedent(user_policy.__doc__.split("\n\n", 1)[1].split("\n\nIt is made once")[0])


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`package(text)` writes the class and gives its name; a new package each time, since Python keeps old ones."""
    made = []

    def write(text: str) -> str:
        name = f"own_policy_{len(made)}_{tmp_path.name.replace('-', '_')}"
        made.append(name)
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "module.py").write_text("import numpy as np\n\n" + text)
        return f"{name}.module:MyPolicy"

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in made:
        sys.modules.pop(name, None)
        sys.modules.pop(f"{name}.module", None)


def test_the_ten_lines(package):
    assert len([line for line in TEN_LINES.splitlines() if line.strip()]) <= 10
    choice = package(TEN_LINES)
    chosen = choose(choice, USER)
    assert chosen.sha256 == choose(choice).sha256 and len(chosen.sha256) == 64
    jpegs = tuple(cv2.imencode(".jpg", np.zeros((240, 320, 3), np.uint8))[1].tobytes() for _ in YAM.cameras)
    done = answer(chosen.policy, Observation(10, jpegs, YAM.home_action, 10))
    np.testing.assert_array_equal(done.chunk, np.tile(YAM.home_action, (24, 1)))


@pytest.mark.parametrize(("before", "after", "says"), [
    ('robot = "yam"', 'robot = "g1"', "is for g1; allowed: yam"),
    ('"x", "y"', '"y", "x"', "wrong action channels"),
    ('("wrist", "front")', '("wrist", "back")', "looks through back; yam has the cameras wrist, front"),
    ('("wrist", "front")', '"wrist"', "cameras is wrist; allowed: a tuple of names"),
    ("128, 96", "128, 9.6", "height is 9.6; allowed: int"),
    ("chunk_dt_s = 0.066", "", "the class has no chunk_dt_s"),
    ("chunk_dt_s = 0.066", "chunk_dt_s = 66.0", "chunk_dt_s is 66.0; allowed: float, 0.001 to 1.0"),
    ("(24, 1))", "24)", r"predict gives \(192,\); allowed: \(n, 8\)"),
    ("class MyPolicy", "class Other", "has no class MyPolicy"),
    ("import numpy as np", "import no_such_package", "No module named 'no_such_package'; install the package"),
])  # fmt: skip
def test_refusals(package, before, after, says):
    text = "import numpy as np\n" + TEN_LINES
    assert before in text
    with pytest.raises(ValueError, match=says):
        choose(package(text.replace(before, after)), USER)


def test_a_chunk_of_another_size_later_is_refused(package):
    policy = choose(package(TEN_LINES.replace("(24, 1)", "(24 if state[-1] else 23, 1)")), USER).policy
    jpegs = tuple(cv2.imencode(".jpg", np.zeros((240, 320, 3), np.uint8))[1].tobytes() for _ in YAM.cameras)
    refused = answer(policy, Observation(10, jpegs, np.zeros(8), 10))
    assert refused.chunk is None and "chunk is (23, 8); allowed: (24, 8)" in refused.refusal


class Enough(Exception):
    """Seen what was to be seen."""


class UntilThird(ChunkExecution):
    """Ends the episode at the third observation."""

    n = 0

    def answer(self, *args):
        self.n += 1
        if self.n == 3:
            raise Enough
        return super().answer(*args)


def test_one_process(package):
    policy = choose(package(TEN_LINES), USER).policy
    rollout = Rollout("arm_pick", policy.config.cameras)
    try:
        rollout.begin(5)
        with pytest.raises(Enough):
            rollout.attempt(UntilThird(policy))
        executed = rollout.executed
        assert executed.chunk_stamps_ns[-1] > 0
        np.testing.assert_allclose(executed.references[-1], executed.references[0], atol=0.01)
    finally:
        rollout.close()


def test_the_graphs_node(package):
    rclpy.init(args=["--ros-args", "-r", "__ns:=/yam", "-p", f"policy:={package(TEN_LINES)}", "-p", "robot:=yam"],
               domain_id=DOMAIN)
    try:
        server = PolicyServer()
        peer = rclpy.create_node("peer", use_global_arguments=False, namespace="yam")
        chunks, executor = [], EventsExecutor()
        peer.create_subscription(JointTrajectory, "action_chunk", chunks.append, qos.STREAM)
        executor.add_node(server)
        executor.add_node(peer)
        end = time.monotonic() + 60.0
        while server._chunk_publisher.get_subscription_count() < 1 and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
        jpeg = cv2.imencode(".jpg", np.zeros((240, 320, 3), np.uint8))[1].tobytes()
        server._on_observation(Observation(10, (jpeg, jpeg), YAM.home_action, 10))
        while not chunks and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
        _, actions = conversions.chunk_from(chunks[0], YAM)
        np.testing.assert_array_equal(actions, np.tile(YAM.home_action, (24, 1)))
        executor.shutdown()
        server.destroy_node()
        peer.destroy_node()
    finally:
        rclpy.try_shutdown()
