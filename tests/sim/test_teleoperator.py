"""The scripted person: sees late, helps in two ways, through the authority that people have; what is recorded of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from weak_lifter import WeakLifter
from weak_picker import WeakPicker

from controllers import rotations
from controllers.rigs import YAM
from policies.episode_file import read_messages, typestore
from policies.frame_cache import cached_episode
from policies.inference import Answer
from policies.policy import PolicyConfig
from policies.segments import EXECUTED_NS, choose, parse_segments
from policies.sources import Recording
from policies.timeline import segments
from sim.arm_insert import PEG_HALF, SOCKET_HEIGHT
from sim.intervention import Operator
from sim.policy_recording import PolicyRecorder
from sim.progress import Eye, Progress, eye_of
from sim.rollout import Rollout
from sim.tasks import task_spec
from sim.teleoperator import NEXT_S, REACTION_S, Sight, Teleoperator, Trouble

MISSES = 30_001  # a seed where the weak picker grasps beside the cube
TICK_S = YAM.reference_dt
EYE = Eye(
    lambda task, measured: task(measured), closer_m=0.001, farther_m=0.02, patience_s=1.0, back_m=0.05, aim_m=0.002,
    rewinds=True,
)


def test_trouble_is_going_the_wrong_way_or_nowhere():
    trouble = Trouble(EYE, Progress(0, 0.1), 0.0)
    assert trouble.watch(Progress(0, 0.05), 0.5) == 0.0
    assert trouble.watch(Progress(0, 0.06), 1.0) == 0.0 and trouble.well_s == 0.5
    assert trouble.watch(Progress(0, 0.08), 1.2) == 0.0 and trouble.watch(Progress(0, 0.08), 1.5) == pytest.approx(0.3)
    assert trouble.watch(Progress(0, 0.05), 1.4) == 0.0, "back again before anybody took over"
    assert trouble.watch(Progress(1, 0.5), 1.6) == 0.0, "a further stage is nearer, whatever its way"
    assert trouble.watch(Progress(1, 0.5), 2.5) == 0.0 and trouble.watch(Progress(1, 0.5), 2.7) == 0.0
    assert trouble.watch(Progress(1, 0.5), 2.9) == pytest.approx(0.2), "nothing happens"
    assert trouble.watch(Progress(0, 0.0), 3.0) > 0.0, "it has lost what it held"


class Hands:
    """Of a person, and what they did."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float]] = []
        self.now_s = 0.0

    def ask(self, service: str) -> bool:
        self.done.append((service, self.now_s))
        return True

    def stream(self, action: np.ndarray) -> None:
        self.done.append(("stream", self.now_s))

    def hold(self, speed: float) -> None:
        self.done.append(("hold", self.now_s))


class Standing:
    """An expert with nothing to do."""

    is_clear = True

    def __init__(self, task, start, seed) -> None:
        self._start = start

    def act(self, measured, dt):
        return self._start


def played(style: str, path: np.ndarray, stages: np.ndarray) -> Hands:
    """A person who sees a robot whose hand goes along path (n,) m of x, in stages (n,), a tick each."""
    pose, at = YAM.home_action.copy(), {}
    person, hands = Teleoperator(style, YAM, EYE, Standing), Hands()
    person.begin(0)
    for k, (x, stage) in enumerate(zip(path, stages, strict=True)):
        measured = pose.copy()
        measured[0], hands.now_s = 0.3 + x, k * TICK_S
        at = Progress(int(stage), 0.3 - x if stage == 0 else 0.0)
        person.act(hands, Sight(hands.now_s, measured, measured, ""), lambda _, at=at: at)
    return hands


@pytest.mark.parametrize("style", ["rac", "hg-dagger"])
def test_a_person_is_late_and_does_one_thing_after_the_other(style):
    way = ((0.0, 0.2, 50), (0.2, 0.1, 50), (0.1, 0.1, 20), (0.1, 0.2, 30), (0.2, 0.1, 30), (0.1, 0.1, 120))
    path = np.concatenate([np.linspace(*part) for part in way])  # there, wrong, with the person there again and before
    stages = np.repeat([0, 1], [len(path) - 80, 80])
    done = played(style, path, stages).done
    wrong_s = TICK_S * (50 + EYE.farther_m / 0.002)
    names = [name for name, _ in done]
    first = dict(reversed(done))
    assert REACTION_S[0] - 2 * TICK_S <= first["take_over"] - wrong_s <= REACTION_S[1] + 2 * TICK_S
    assert first["stream"] - first["take_over"] >= NEXT_S - 1e-9
    if style == "rac":
        assert names.count("take_over") == 2 and "rewind" in names and names.count("hold") > 5
        assert "hand_back" not in names
    else:
        assert "rewind" not in names and names[1] == "correct" and names[-1] == "hand_back"


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


def test_rac_goes_back_then_on_and_ends_there(recorded):
    _, found = recorded
    meta = found["rac"]
    spans = segments(meta)
    assert [s.name for s in spans] == ["reset", "pause", "policy", "pause", "recovery", "correction"]
    assert (meta["outcome"], meta["outcome_by"], meta["end"]) == ("failure", "operator", "truncated")
    assert 0.1 < spans[4].seconds / spans[5].seconds < 2.0
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
        reference, hole = executed.references[-1], self._task.scene.hole
        if self._target is None:
            self._target, tip = reference.copy(), self._task.peg.position + self._along() * PEG_HALF[0]
            self._target[:3] += np.array([*hole + 0.005, SOCKET_HEIGHT - 0.01]) - tip
        return super().answer(observation, executed, latency_s)

    def _along(self) -> np.ndarray:
        return rotations.matrix(self._task.peg.quat_xyzw)[:, 0]


@pytest.mark.parametrize("style", ["rac", "hg-dagger"])
def test_a_peg_beside_the_hole_is_lifted_by_rac_and_slides_into_it_by_hg_dagger(style):
    rollout, heights = Rollout("arm_insert", YAM.cameras), []
    operator = Operator("arm_insert", style)

    def tick(stamp_ns, measured, reference) -> None:
        if operator.drives:
            heights.append(rollout.task.tip[2] - SOCKET_HEIGHT)

    rollout.begin(30_000)
    operator.begin(rollout.task, 30_000)
    rollout.on_tick = tick
    why, _ = rollout.attempt(Beside(rollout.task), operator)
    rollout.close()
    assert why == "success" and abs(heights[0]) < 0.002, "it stood on the socket"
    assert (max(heights) > 0.008) if style == "rac" else (max(heights) < 0.003)


def test_a_g1_that_never_closes_its_hands_goes_back_and_lifts_the_box(tmp_path):
    rollout, meta = helped("g1_box", lambda task: WeakLifter(task, "close"), "rac", 30_002, tmp_path)
    spans = segments(meta)
    assert [s.name for s in spans][-5:] == ["policy", "pause", "rewind", "pause", "correction"]
    assert meta["end"] == "truncated" and meta["outcome_by"] == "operator"
    truth = rollout.task.ground_truth()
    assert truth["box_position"][2] > rollout.task.scene.position[2] + 0.05 and not truth["fallen"]
    assert eye_of("g1_box").look(rollout.task, rollout.measured).stage == 1, "in both hands"


def test_nobody_helps_in_a_task_that_nobody_knows():
    with pytest.raises(ValueError, match="does not know arm_table; allowed: arm_pick, .*g1_box"):
        eye_of("arm_table")
    with pytest.raises(ValueError, match="style 'sarcasm'; allowed: rac, hg-dagger"):
        Teleoperator("sarcasm", YAM, EYE, Standing)
