"""The recorder as a process among real messages: what it keeps, refuses, and leaves behind when it dies."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import new_robot
from diagnostic_msgs.msg import DiagnosticArray
from graph import STATES, Robot, stop
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from std_msgs.msg import String

from policies.episode_file import is_unfinished, read_episode, read_messages, read_meta

STEP_S = 0.002


Start = Callable[..., subprocess.Popen]


@pytest.fixture
def recorder(start: Start) -> subprocess.Popen:
    return start()


def only_episode(root: Path) -> Path:
    folder, = root.iterdir()
    return folder


def test_everything_sent_is_recorded(root: Path, recorder: subprocess.Popen, robot: Robot) -> None:
    robot.authority.publish(String(data="none"))
    robot.wait_for_recorder()
    robot.run(0, 300)
    assert robot.ask("episode/start").success
    again = robot.ask("episode/start")
    assert not again.success and "is being recorded" in again.message
    robot.sent.clear()
    robot.run(1000, 1500)
    robot.authority.publish(String(data="policy"))
    robot.run(1500, 2000)
    time.sleep(0.2)
    ended = robot.ask("episode/success")
    assert ended.success
    twice = robot.ask("episode/failure")
    assert not twice.success and f"{ended.message} ended as success" in twice.message

    episode = only_episode(root)
    received: dict[str, list[bytes]] = {}
    for message in read_messages(episode / "episode.mcap"):
        received.setdefault(message.topic, []).append(message.data)
    for topic, sent in robot.sent.items():
        # what was under way when the episode began may come first
        assert [deserialize_message(data, type(sent[0])) for data in received[topic][-len(sent):]] == sent, topic
    with AnyReader([episode / "episode.mcap"]) as reader:
        for connection, _, raw in reader.messages():
            reader.deserialize(raw, connection.msgtype)
    meta = read_meta(episode)
    assert meta["id"] == ended.message and meta["id"].endswith("-42") and meta["seed"] == 42
    assert (meta["outcome"], meta["outcome_by"], meta["policy_hash"]) == ("success", "operator", "abc123")
    assert [who for _, who in meta["authority"]] == ["none", "policy"] and meta["lost"] == {}
    assert meta["messages"]["/g1/joint_states"] >= 1000
    assert len(read_episode(episode).state) > 25
    robot.executor_.spin_once(timeout_sec=0.5)
    assert [event["event"] for event in robot.events] == ["started", "success"]
    assert Path(robot.events[0]["path"]) == episode


def test_stamps_are_the_messages_own(root: Path, recorder: subprocess.Popen, robot: Robot) -> None:
    robot.wait_for_recorder()
    assert robot.ask("episode/start").success
    began = time.time_ns()
    robot.run(500, 700)
    assert robot.ask("episode/discard").success
    states = [m for m in read_messages(only_episode(root) / "episode.mcap") if m.topic == "/g1/joint_states"]
    assert [m.publish_ns for m in states] == [step * 2_000_000 for step in range(500, 700)]
    assert all(b.log_ns >= a.log_ns and b.sequence == a.sequence + 1 for a, b in zip(states, states[1:], strict=False))
    assert abs(states[0].log_ns - began) < 1e9 and 0.3e9 < states[-1].log_ns - states[0].log_ns < 5e9
    assert read_meta(only_episode(root))["outcome"] == "discarded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_readable_recording(root: Path, start: Start, robot: Robot, number: int) -> None:
    process = start()
    robot.wait_for_recorder()
    assert robot.ask("episode/start").success
    robot.run(0, 200)
    out = stop(process, number)
    assert process.returncode == 0 and "Traceback" not in out, out
    episode = only_episode(root)
    assert not is_unfinished(episode) and read_meta(episode)["outcome"] == "aborted"
    assert lost_s(episode, 199) < 0.5


def lost_s(episode: Path, last_step: int) -> float:
    """How much of joint_states is missing at the end (s)."""
    newest = max(m.publish_ns for m in read_messages(episode / "episode.mcap") if m.topic == "/g1/joint_states")
    return last_step * STEP_S - newest / 1e9


def test_sigkill_costs_at_most_half_a_second(root: Path, start: Start) -> None:
    for last in (400, 523, 611):
        process = start()
        with new_robot() as robot:
            robot.wait_for_recorder()
            robot.run(0, 60)
            assert robot.ask("episode/start").success
            robot.run(60, last)
            process.kill()
            process.communicate()
        unfinished = [folder for folder in root.iterdir() if is_unfinished(folder)]
        assert len(unfinished) == 1 and lost_s(unfinished[0], last - 1) <= 0.5
    before = {path: path.read_bytes() for path in root.glob("*/*") if not is_unfinished(path.parent)}
    assert len(before) == 4, "the second and third start have repaired the episodes before"
    process = start()
    with new_robot() as robot:
        assert robot.ask("episode/start").success
    out = stop(process, signal.SIGINT)
    assert f"{unfinished[0].name} was not ended; repaired, outcome aborted" in out
    meta = read_meta(unfinished[0])
    assert meta["outcome"] == "aborted" and meta["seed"] == 42 and meta["messages"]["/g1/joint_states"] > 300
    assert all(path.read_bytes() == data for path, data in before.items())


def test_too_little_disk_is_refused_before_the_episode(root: Path, start: Start, robot: Robot) -> None:
    process = start(min_free_gb=1e9)
    answer = robot.ask("episode/start")
    assert not answer.success and "GB are free" in answer.message and "delete old episodes" in answer.message
    assert list(root.iterdir()) == []
    stop(process, signal.SIGINT)


def test_a_full_disk_ends_the_episode_and_not_the_recorder(root: Path, start: Start, robot: Robot) -> None:
    process = start()
    robot.wait_for_recorder()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
    assert robot.ask("episode/start").success
    robot.run(0, 1000)
    deadline = time.monotonic() + 30.0
    while [event["event"] for event in robot.events] != ["started", "aborted"] and time.monotonic() < deadline:
        robot.executor_.spin_once(timeout_sec=0.2)
    assert robot.events[-1]["event"] == "aborted"
    refused = robot.ask("episode/success")
    assert not refused.success and "File too large" in refused.message
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    full = only_episode(root)
    assert len(list(read_messages(full / "episode.mcap"))) > 100 and read_meta(full)["outcome"] == "aborted"
    assert robot.ask("episode/start").success and robot.ask("episode/success").success
    out = stop(process, signal.SIGINT)
    assert "make room" in out and "Traceback" not in out


def test_diagnostics_say_rates_and_losses(root: Path, recorder: subprocess.Popen, robot: Robot) -> None:
    reports: list[dict[str, str]] = []
    robot.create_subscription(DiagnosticArray, "diagnostics", lambda m: reports.append(
        {pair.key: pair.value for pair in m.status[0].values}), 10)
    robot.wait_for_recorder()
    robot.run(0, 60)
    assert robot.ask("episode/start").success
    for step in range(100, 1500, 100):
        robot.run(step, step + 100)
        robot.executor_.spin_once(timeout_sec=0.0)
    robot.executor_.spin_once(timeout_sec=2.0)
    rates = [float(report["joint_states_hz"]) for report in reports if "joint_states_hz" in report]
    assert max(rates) > 200 and reports[-1]["lost"] == "0" and float(reports[-1]["free_gb"]) > 0
    assert float(reports[-1]["megabytes"]) > 0 and reports[-1]["episode"]


def stall(robot: Robot, recorder: subprocess.Popen, root: Path) -> dict:
    """Stop the process for 0.6 s of an episode of 600 steps; return the meta."""
    robot.wait_for_recorder()
    assert robot.ask("episode/start").success
    robot.run(0, 100)
    time.sleep(0.2)
    recorder.send_signal(signal.SIGSTOP)
    robot.run(100, 400)
    recorder.send_signal(signal.SIGCONT)
    robot.run(400, 600)
    time.sleep(1.0)
    ended = robot.ask("episode/failure")
    return read_meta(root / ended.message)


def test_a_stalled_recorder_catches_up(root: Path, recorder: subprocess.Popen, robot: Robot) -> None:
    meta = stall(robot, recorder, root)
    assert meta["lost"] == {} and all(meta["messages"][f"/g1/{topic}"] == 600 for topic in STATES)


def test_what_publishers_no_longer_have_is_counted_as_lost(root: Path, recorder: subprocess.Popen) -> None:
    with new_robot(QoSProfile(depth=10)) as robot:
        meta = stall(robot, recorder, root)
    assert all(meta["lost"][f"/g1/{topic}"] >= 100 for topic in STATES)
    assert all(meta["messages"][f"/g1/{topic}"] + meta["lost"][f"/g1/{topic}"] == 600 for topic in STATES)
