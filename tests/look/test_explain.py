"""`retake explain`: a known recording, asked about known moments."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from controllers.g1 import HOME_ACTION
from controllers.rigs import RIGS
from policies.episode_file import EpisodeWriter
from policies.episode_meta import EpisodeError
from policies.motion import parts
from retake.episodes import explain
from retake.errors import UserError

from .recordings import CHUNK, MS, START, TICK, Scripted, write_episode


def ask(folder: Path, at: str, *words: str) -> int:
    parser = argparse.ArgumentParser()
    explain.add_arguments(parser)
    return explain.run(parser.parse_args([str(folder), "--at", at, *words]))


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episode(tmp_path_factory.mktemp("explain") / "20251124-160000-7")


def explained(folder: Path, at: str, capsys: pytest.CaptureFixture[str]) -> dict:
    assert ask(folder, at, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_the_policy_commanded(episode: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(episode, "1.509", capsys)
    assert found["at_s"] == pytest.approx(1.5)  # the newest tick at or before
    assert (found["tick"]["source"], found["authority"], found["segment"]) == ("policy", "policy", "policy")
    assert found["tick"]["policy"] == "0123456789abcdef" and found["tick"]["operator"] == ""
    newest = (1500 * MS - 80 * MS) // CHUNK * CHUNK
    chunk = found["chunk"]
    assert chunk["observation_s"] == pytest.approx(newest / 1e9)
    assert chunk["age_ms"] == pytest.approx((1500 * MS - newest) / MS)
    assert chunk["received_s"] == pytest.approx(newest / 1e9 + 0.08)
    assert chunk["cameras"] == ["chest", "head"] and chunk["points"] == 24
    wanted, executed, measured = found["channels"]["left_ee.x"]
    assert executed - wanted == pytest.approx(0.15) and executed - measured == pytest.approx(0.002)
    assert found["teleop"] is None


def test_what_the_motors_were_given(episode: Path, capsys: pytest.CaptureFixture[str]) -> None:
    motors = explained(episode, "1.5", capsys)["motors"]
    assert motors["stamp_s"] == pytest.approx(1.5)
    assert motors["joints"]["right_elbow_joint"] == pytest.approx([1.6, -0.1, 0.5])
    assert motors["changed"] == {"right_elbow_joint": pytest.approx([1.7, 1.6])}
    assert explained(episode, "1.0", capsys)["motors"]["stamp_s"] == pytest.approx(1.01), "that of 1.000 s is missing"


def test_a_person_commanded_and_it_jumped(episode: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(episode, "2.1", capsys)
    assert (found["tick"]["source"], found["tick"]["operator"], found["segment"]) == ("teleop", "joy", "recovery")
    assert found["teleop"]["device"] == "joy" and found["teleop"]["age_ms"] == pytest.approx(12.0)
    jump = found["jump"]
    assert (jump["part"], jump["unit"]) == ("left_ee.position", "m/s")
    assert jump["change"] == pytest.approx(0.2, rel=1e-3)
    assert jump["at_s"] == pytest.approx(2.02), "the first tick that moved as the person did"
    assert jump["cause"] == "a hand-over from policy to teleop (joy) (epoch 1 to 2), 20 ms before"
    assert explained(episode, "1.5", capsys)["jump"] is None, "it moved evenly"


def test_the_text(episode: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(episode, "2.0") == 0
    text = capsys.readouterr().out
    for words in ("commanded by   teleop", "operator       joy", "segment        recovery",
                  "left_ee.position (speed or acceleration)", "of joy at 1.988 s, 12 ms old",
                  "the driver changed right_elbow_joint from 1.7000 to 1.6000", "left_ee.x"):
        assert words in text
    assert next(line for line in text.splitlines() if "left_ee.x" in line).endswith("*")


def test_a_stamp_asks_for_the_same_moment(episode: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_seconds = explained(episode, "1.5", capsys)
    assert explained(episode, str(START + 1500 * MS), capsys) == by_seconds
    assert explained(episode, f"{START // 10**9 + 1}.5", capsys) == by_seconds


def test_old_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(write_episode(tmp_path / "e", old=True), "2.1", capsys)
    assert found["segment"] == "teleop" and found["tick"]["operator"] == ""
    assert found["channels"]["left_ee.x"][0] is None


def test_ticks_that_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    episode = Scripted(tmp_path / "e")
    values = [0.0, 0.0, 0.0, 0.02, 0.02, 0.02]
    for stamp, left_x in zip((0, 1, 2, 6, 7, 8), values, strict=True):
        action = episode_action(left_x)
        episode.vector("reference", action, stamp * TICK)
        episode.provenance(stamp * TICK, "policy", epoch=1)
    jump = explained(episode.close(), "0.13", capsys)["jump"]
    assert jump["cause"] == "3 ticks are missing before it: 80 ms without a reference"


def episode_action(left_x: float) -> np.ndarray:
    action = HOME_ACTION.copy()
    action[0] += left_x
    return action


def test_a_killed_recording_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_episode(tmp_path / "e")
    meta = json.loads((folder / "episode.json").read_text())
    meta.update(ended_ns=None, started_ns=None, authority=[], segments=[])
    (folder / "episode.json").write_text(json.dumps(meta))
    log = folder / "episode.mcap"
    log.write_bytes(log.read_bytes()[:-2000])
    assert explained(folder, "0.5", capsys)["segment"] == "policy"


def test_refusals(episode: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no episode 'nothing'"):
        ask(Path("nothing"), "1")
    with pytest.raises(UserError, match="is no time; allowed: seconds"):
        ask(episode, "soon")
    with pytest.raises(EpisodeError, match=r"9.000 s .* is outside .* allowed: 0.000 to 3.980 s"):
        ask(episode, "9")
    scripted = Scripted(tmp_path / "e")
    scripted.vector("reference", episode_action(0.0), 0)
    with pytest.raises(EpisodeError, match="no provenance was recorded"):
        ask(scripted.close(), "0")


def test_damaged_messages(tmp_path: Path) -> None:
    scripted = Scripted(tmp_path / "e")
    scripted.chunk("reference", episode_action(0.0)[None].repeat(2, axis=0), [0, TICK], 0)
    with pytest.raises(EpisodeError, match="a recorded action has 2 points, allowed is exactly one"):
        ask(scripted.close(), "0")
    with EpisodeWriter(tmp_path / "f", {}) as writer:
        writer.write_raw("/g1/reference", "trajectory_msgs/msg/JointTrajectory", bytes(7), 0)
    with pytest.raises(EpisodeError, match="of 7 bytes is none .* `retake validate`"):
        ask(tmp_path / "f", "0")


def test_parts_are_those_of_the_robots() -> None:
    """The recordings' view of the channels and the controllers' are two: they must agree."""
    for rig in RIGS.values():
        theirs = {p.name: list(range(p.channels.start, p.channels.stop)) for p in rig.layout.parts}
        assert parts(rig.layout.channels) == theirs
