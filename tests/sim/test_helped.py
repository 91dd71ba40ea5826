"""What a scripted person does in worlds, through the authority that people have, and what is recorded of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from weak_lifter import WeakLifter
from weak_picker import WeakPicker

from controllers import rotations
from controllers.rigs import YAM
from policies.episode_file import read_messages, typestore
from policies.episode_meta import read_meta
from policies.frame_cache import cached_episode
from policies.inference import Answer
from policies.policy import PolicyConfig
from policies.segments import EXECUTED_NS, choose, parse_segments
from policies.sources import Recording
from policies.timeline import segments
from sim.arm_insert import SOCKET_HEIGHT
from sim.arm_pick import draw_scene
from sim.intervention import Operator
from sim.policy_recording import PolicyRecorder
from sim.progress import eye_of
from sim.rollout import Rollout
from sim.tasks import task_spec
from sim.teleoperator import NEXT_S

MISSES = 30_001  # a seed where the weak picker grasps beside the cube
TICK_S = YAM.reference_dt


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """One world helped in both ways: folder and episode.json of each."""
    rollout, root = Rollout("arm_pick", YAM.cameras), tmp_path_factory.mktemp("helped")
    found = {}
    for style in ("rac", "hg-dagger"):
        recorder = PolicyRecorder(rollout, WeakPicker(rollout.task, 0.015), "weak", Operator("arm_pick", style))
        found[style] = recorder.record(MISSES, root / style)
    yield root, found
    rollout.close()


def is_over_the_cube(folder, half: float) -> bool:
    """Whether the correction begins with an open hand that is higher than a finger on the cube is."""
    start_ns = next(span.start_ns for span in segments(read_meta(folder)) if span.name == "correction")
    messages = read_messages(folder / "episode.mcap", ("/yam/measured_action",))
    data = next(message.data for message in messages if message.publish_ns >= start_ns)
    hand = typestore().deserialize_cdr(data, "trajectory_msgs/msg/JointTrajectory").points[0].positions
    return hand[7] > 0.9 and hand[2] > half + 0.05


def test_rac_goes_back_then_on_and_ends_there(recorded):
    root, found = recorded
    meta = found["rac"]
    spans = segments(meta)
    assert [s.name for s in spans] == ["reset", "pause", "policy", "pause", "recovery", "correction"]
    assert (meta["outcome"], meta["outcome_by"], meta["end"]) == ("failure", "operator", "truncated")
    assert 0.1 < spans[4].seconds / spans[5].seconds < 2.0
    assert is_over_the_cube(root / "rac" / meta["id"], draw_scene(MISSES).half)
    assert meta["operator"]["scripted"] == "rac" and [who for _, who in meta["authority"]][-2:] == ["policy", "teleop"]


def test_hg_dagger_corrects_and_hands_back(recorded):
    _, found = recorded
    names = [span.name for span in segments(found["hg-dagger"])]
    assert not {"rewind", "recovery"} & set(names) and "policy" in names[names.index("correction") :]
    assert found["hg-dagger"]["outcome"] == "success" and found["hg-dagger"]["end"] == "terminated"


def test_both_actions_and_whoever_had_the_robot_are_on_disk(recorded):
    root, found = recorded
    folder = root / "rac" / found["rac"]["id"]
    (correction,) = [span for span in segments(found["rac"]) if span.name == "correction"]
    decode = typestore().deserialize_cdr
    rows = {"reference": {}, "policy_action": {}}
    for message in read_messages(folder / "episode.mcap", tuple(f"/yam/{name}" for name in rows)):
        vector = decode(message.data, "trajectory_msgs/msg/JointTrajectory").points[0].positions
        rows[message.topic.rsplit("/", 1)[1]][message.publish_ns] = vector
    both = [stamp for stamp in rows["policy_action"] if correction.start_ns <= stamp < correction.end_ns]
    assert len(both) > 50
    apart = [np.linalg.norm(rows["reference"][s][:3] - rows["policy_action"][s][:3]) for s in both]
    assert max(apart) > 0.02
    said = [decode(m.data, "diagnostic_msgs/msg/DiagnosticStatus") for m in
            read_messages(folder / "episode.mcap", ("/yam/provenance",))]  # fmt: skip
    assert len(said) == len(rows["reference"])
    assert {pair.key: pair.value for pair in said[-1].values}["operator"] == "scripted"


def test_training_takes_the_help_and_nothing_after_it_was_cut_off(recorded, tmp_path):
    root, found = recorded
    source = Recording(root / "rac" / found["rac"]["id"])
    episode = cached_episode(source, tmp_path, ("wrist", "front"), 32, 24)
    chosen = choose(episode, source.meta, parse_segments("untouched,recovery,correction:2"))
    assert set(chosen.segment) == {"recovery", "correction"}
    stamps = episode.frame_stamps_ns[chosen.frames]
    assert stamps.max() <= source.meta["ended_ns"] - EXECUTED_NS
    assert set(chosen.weight[chosen.segment == "correction"]) == {2.0}


class Astray:
    """A policy of arm_insert that carries the peg away from the hole, and stays there."""

    def __init__(self, task) -> None:
        channels = YAM.layout.channels
        self.policy, self._task = SimpleNamespace(config=PolicyConfig(channels, channels, YAM.cameras)), task

    def begin(self) -> None:
        self._target: np.ndarray | None = None

    def answer(self, observation, executed, latency_s):
        reference = executed.references[-1]
        if self._target is None:
            self._target = reference.copy()
            self._target[1] += np.copysign(0.04, reference[1] - self._task.scene.hole[1])
        share = np.linspace(0.0, 1.0, self.policy.config.chunk_size)[:, None]
        return Answer(observation, reference + share * (self._target - reference), 0.0)


def helped(task: str, make_policy, style: str, seed: int, root):
    """The rollout after a helped episode, and its episode.json."""
    rollout = Rollout(task, task_spec(task).rig.cameras)
    meta = PolicyRecorder(rollout, make_policy(rollout.task), "weak", Operator(task, style)).record(seed, root)
    rollout.close()
    return rollout, meta


def test_a_finger_on_a_wide_cube_is_lifted_off_it_first(tmp_path):
    rollout, meta = helped("arm_pick_tight", lambda task: WeakPicker(task, 0.012), "rac", 30_001, tmp_path)
    spans = segments(meta)
    assert [s.name for s in spans][-2:] == ["recovery", "correction"] and spans[-2].seconds > 0.2
    assert is_over_the_cube(tmp_path / meta["id"], rollout.task.scene.half)
    assert eye_of("arm_pick_tight").look(rollout.task, rollout.measured).stage == 1, "in the hand"


@pytest.mark.parametrize(("style", "seed"), [("rac", 30_000), ("hg-dagger", 30_001)])
def test_a_peg_that_goes_astray_is_put_into_the_hole(style, seed, tmp_path):
    rollout, meta = helped("arm_insert", Astray, style, seed, tmp_path)
    names = [span.name for span in segments(meta)]
    assert meta["outcome"] == "success" and names[-1] == "correction"
    assert ("recovery" in names) == (style == "rac") and not rollout.task.failure()


class Beside(Astray):
    """Puts the peg down beside the hole, and presses."""

    def answer(self, observation, executed, latency_s):
        if self._target is None:
            self._target = executed.references[-1].copy()
            way = np.array([0.005, 0.005, SOCKET_HEIGHT - 0.01]) - self._task.tip
            self._target[:3] += rotations.matrix(rotations.from_yaw(self._task.scene.yaw)) @ way
        return super().answer(observation, executed, latency_s)


@pytest.mark.parametrize("style", ["rac", "hg-dagger"])
def test_a_peg_beside_the_hole_is_lifted_by_rac_and_slides_into_it_by_hg_dagger(style):
    rollout, operator = Rollout("arm_insert", YAM.cameras), Operator("arm_insert", style)
    heights: dict[str, list[float]] = {"recovery": [], "correction": []}

    def tick(stamp_ns, measured, reference) -> None:
        if operator.drives:
            segment = rollout.core.segments.of(rollout.core.authority, "teleop").value
            heights[segment].append(rollout.task.tip[2] - SOCKET_HEIGHT)

    rollout.begin(30_000)
    operator.begin(rollout.task, 30_000)
    rollout.on_tick = tick
    why, _ = rollout.attempt(Beside(rollout.task), operator)
    rollout.close()
    back, on = heights["recovery"], heights["correction"]
    assert why == "success" and abs((back + on)[0]) < 0.002, "it stood on the socket"
    if style == "rac":
        assert on[0] > 0.006 and max(back) == pytest.approx(on[0], abs=0.003), "it is correction once it is clear"
    else:
        assert len(back) <= NEXT_S / TICK_S + 1 and max(on) < 0.003, "at once, as soon as there are hands"
    assert on[-1] < -0.02


def test_a_g1_that_never_closes_its_hands_goes_back_and_lifts_the_box(tmp_path):
    rollout, meta = helped("g1_box", lambda task: WeakLifter(task, "close"), "rac", 30_002, tmp_path)
    spans = segments(meta)
    assert [s.name for s in spans][-5:] == ["policy", "pause", "rewind", "pause", "correction"]
    assert meta["end"] == "truncated" and meta["outcome_by"] == "operator"
    truth = rollout.task.ground_truth()
    assert truth["box_position"][2] > rollout.task.scene.position[2] + 0.05 and not truth["fallen"]
    assert eye_of("g1_box").look(rollout.task, rollout.measured).stage == 1, "in both hands"
