"""`retake replay`: the film, the path that it asks for, and a replay through a real authority."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pytest
from nodes.conftest import Probe, options
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers.g1 import HOME_ACTION
from controllers.rigs import G1
from policies.episode_file import EpisodeWriter
from retake.control.authority import AuthorityNode
from retake.errors import UserError
from retake.replay import command as replay
from retake.replay.node import Replay
from retake.replay.path import ReplayPath, read_recording, too_far
from retake.ros import conversions, qos

from .recordings import FRAME, LEFT_X, MS, TICK, Scripted, reference_at, write_episode


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episode(tmp_path_factory.mktemp("replay") / "e", seconds=2)


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    replay.add_arguments(parser)
    return replay.run(parser.parse_args(words))


def test_a_film(episode: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    out = tmp_path / "films" / "e.mp4"
    assert command(str(episode), "--video", str(out)) == 0
    with av.open(str(out)) as film:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in film.decode(video=0)]
    assert len(frames) == -(-2000 * MS // FRAME)
    assert [time for time, _ in frames] == pytest.approx([k * FRAME / 1e9 for k in range(len(frames))], abs=1e-4)
    picture = frames[10][1]
    assert picture.shape[1] == 128 and picture.shape[0] > 48
    assert abs(picture[:48, 8:56].mean() - 200) < 4, "chest on the left"
    assert abs(picture[:48, 72:120].mean() - 70) < 4, "head beside it, of the same moment"
    assert [file.name for file in out.parent.iterdir()] == ["e.mp4"]


def test_refusals_of_the_film(episode: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    with pytest.raises(UserError, match="is no MP4"):
        command(str(episode), "--video", "film.avi")
    with pytest.raises(UserError, match="moves a robot and --video none"):
        command(str(episode), "--video", "film.mp4", "--approach")
    scripted = Scripted(tmp_path / "blind")
    scripted.text("authority", "none", 0)
    with pytest.raises(ValueError, match="no camera was recorded"):
        command(str(scripted.close()), "--video", str(tmp_path / "film.mp4"))
    Scripted(tmp_path / "killed").writer.abandon()
    with pytest.raises(ValueError, match="has not ended"):
        command(str(tmp_path / "killed"), "--video", str(tmp_path / "film.mp4"))
    assert not list(tmp_path.glob("film*"))


def test_the_path(episode: Path) -> None:
    """Rest, slowly to the start, then the recording at its own pace."""
    recording = read_recording(episode)
    rest = HOME_ACTION.copy()
    rest[LEFT_X] -= 0.1
    path = ReplayPath(recording, rest)
    np.testing.assert_allclose(path.at(0), rest)
    np.testing.assert_allclose(path.at(path.approach_ns), reference_at(0), atol=1e-12)
    np.testing.assert_allclose(path.at(path.approach_ns + 1010 * MS), reference_at(1010 * MS), atol=1e-12)
    assert path.at(path.length_ns + 1) is None
    steps = np.array([path.at(k * TICK) for k in range(path.approach_ns // TICK)])
    fastest = np.abs(np.diff(steps[:, LEFT_X])).max() / TICK * 1e9
    assert fastest <= 0.15 * G1.layout.speed[LEFT_X] * 1.001
    assert ReplayPath(recording, reference_at(0)).approach_ns == 0
    assert path.deviation(0, rest) == 0.0
    there = reference_at(1000 * MS - TICK)
    assert path.deviation(path.approach_ns + 1000 * MS, there) == pytest.approx(0.0, abs=1e-9)
    there[LEFT_X] += 0.02
    assert path.deviation(path.approach_ns + 1000 * MS, there) == pytest.approx(0.02)


def test_how_far_is_too_far(episode: Path) -> None:
    recording = read_recording(episode)
    pose = reference_at(-TICK)
    assert too_far(recording, pose) == []
    pose[LEFT_X] += 0.07
    assert too_far(recording, pose) == ["left_ee.position is 0.070 m away, allowed 0.060"]


def test_other_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not fit rig g1: missing: left_ee.x"):
        read_recording(write_wrong(tmp_path / "wrong"))


def write_wrong(folder: Path) -> Path:
    with EpisodeWriter(folder, {}) as writer:
        for topic in ("reference", "measured_action"):
            writer.write_vector(f"/g1/{topic}", ("a", "b"), np.zeros(2), 0)
    return folder


class Robot:
    """A robot that is at each tick where the reference was at the one before, and an authority over it."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.pose, self.now = np.array(HOME_ACTION), 2000 * MS
        self.ticks = probe.create_publisher(JointTrajectory, "measured_action", qos.SEND)
        self.references = probe.listen(JointTrajectory, "reference")
        self.streamed = probe.listen(JointTrajectory, "teleop_action")
        self.authority = probe.listen(String, "authority", qos.LATCHED)
        self.moved: list[np.ndarray] = []
        probe.add(AuthorityNode(**options(probe)))

    def tick(self) -> None:
        self.now += TICK
        self.ticks.publish(conversions.action_message(self.pose, self.now, G1))
        self.probe.until(lambda: self.references
                         and conversions.stamp_ns(self.references[-1].header.stamp) == self.now)
        self.pose = conversions.action_from(self.references[-1], G1)
        self.moved.append(self.pose)

    def play(self, node: Replay, ticks: int) -> None:
        """Serve until the replay is over; at most so many ticks."""
        for _ in range(ticks):
            if node.is_over:
                return
            self.tick()
            self.probe.serve(0.004)


def replaying(robot: Robot, recording, approach: bool) -> Replay:
    probe = robot.probe
    node = Replay(recording, approach, lambda: None, context=probe.context)
    probe.add(node)
    probe.until(lambda: robot.ticks.get_subscription_count() == 2 and node._take_over.service_is_ready()
                and node.count_publishers("reference") and probe.count_subscribers("teleop_action") == 2)  # fmt: skip
    return node


def test_a_replay_moves_as_the_recording_did(probe: Probe, episode: Path) -> None:
    robot, recording = Robot(probe), read_recording(episode)
    robot.pose[LEFT_X] -= 0.03
    node = replaying(robot, recording, approach=False)
    robot.play(node, 400)
    assert node.is_over and not node.refusal
    assert robot.authority[-1].data == "teleop"
    assert {message.header.frame_id for message in robot.streamed} == {"replay"}
    assert robot.moved[-1][LEFT_X] == pytest.approx(recording.actions[-1][LEFT_X], abs=0.004), "absolute, not relative"
    assert node.deviation_m < 0.012, "a tick or two behind at 0.1 m/s"
    count = len(robot.streamed)
    for _ in range(20):
        robot.tick()
    assert len(robot.streamed) == count, "over is over"
    assert robot.probe.call(Trigger, "hand_back").success


def test_it_does_not_start_from_elsewhere(probe: Probe, episode: Path) -> None:
    robot, recording = Robot(probe), read_recording(episode)
    robot.pose[LEFT_X] -= 0.2
    node = replaying(robot, recording, approach=False)
    robot.play(node, 50)
    assert re.search(r"left_ee.position is 0.1\d\d m away.*--approach", node.refusal)
    assert not robot.streamed and robot.authority[-1].data == "none"


def test_with_approach_it_goes_there_slowly(probe: Probe, episode: Path) -> None:
    robot, recording = Robot(probe), read_recording(episode)
    robot.pose[LEFT_X] -= 0.2
    node = replaying(robot, recording, approach=True)
    robot.play(node, 700)
    assert node.is_over and not node.refusal
    assert robot.moved[-1][LEFT_X] == pytest.approx(recording.actions[-1][LEFT_X], abs=0.004)
    speed = np.abs(np.diff([pose[LEFT_X] for pose in robot.moved])) / TICK * 1e9
    assert speed.max() < max(0.15 * G1.layout.speed[LEFT_X], 0.1) * 1.2


def test_a_stop_ends_it(probe: Probe, episode: Path) -> None:
    robot, recording = Robot(probe), read_recording(episode)
    node = replaying(robot, recording, approach=False)
    robot.play(node, 60)
    assert robot.streamed and not node.is_over
    assert robot.probe.call(Trigger, "stop").success
    robot.play(node, 50)
    assert "authority went to stopped" in node.refusal


def test_who_has_the_robot_keeps_it(probe: Probe, episode: Path) -> None:
    robot, recording = Robot(probe), read_recording(episode)
    robot.tick()
    assert robot.probe.call(Trigger, "panel/take_over").success
    node = replaying(robot, recording, approach=False)
    robot.play(node, 50)
    assert "cannot take over: panel has" in node.refusal and not robot.streamed
