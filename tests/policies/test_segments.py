"""Which frames of an episode are learnt from, with which label and weight."""

import numpy as np
import pytest

from policies.chunk import CHUNK_DT_NS, recorded_chunks
from policies.frame_cache import CachedEpisode
from policies.segments import EVERY_DRIVEN, EXECUTED_NS, choose, parse_segments

S = 1_000_000_000
CHANNELS = ("left_ee.x", "left_gripper")
FRAME_NS, TICK_NS = CHUNK_DT_NS, 20_000_000
TOUCHED = [[0, "policy"], [3 * S, "pause"], [4 * S, "rewind"], [5 * S, "recovery"], [7 * S, "correction"]]


def episode(seconds: int = 10) -> CachedEpisode:
    """An action that says the time, so that a label tells where it comes from."""
    ticks = np.arange(0, seconds * S, TICK_NS)
    frames = np.arange(0, seconds * S, FRAME_NS)
    label = np.stack([ticks / S, np.zeros(len(ticks))], axis=1)
    images = np.zeros((len(frames), 1, 4, 4, 3), np.uint8)
    return CachedEpisode(images, frames, np.zeros((len(frames), 2)), label, ticks, CHANNELS)


def meta(segments, outcome: str = "success", seconds: int = 10) -> dict:
    return {"id": "x", "segments": segments, "authority": [], "outcome": outcome,
            "started_ns": 0, "ended_ns": seconds * S}  # fmt: skip


def test_an_undisturbed_episode_is_learnt_whole():
    e = episode()
    for about in (meta([[0, "teleop"]]), meta([[0, "policy"]], "failure"), meta([])):
        chosen = choose(e, about, parse_segments(EVERY_DRIVEN))
        np.testing.assert_array_equal(chosen.frames, np.arange(len(e.frame_stamps_ns)))
        np.testing.assert_array_equal(
            chosen.chunks, recorded_chunks(e.frame_stamps_ns, e.label, e.label_stamps_ns, CHANNELS)
        )
        assert (chosen.weight == 1.0).all()


def test_nothing_is_learnt_of_what_follows_a_segment_that_is_kept():
    e = episode()
    chosen = choose(e, meta(TOUCHED), parse_segments(EVERY_DRIVEN))
    stamps = e.frame_stamps_ns[chosen.frames]
    assert set(chosen.segment) == {"policy", "recovery", "correction"}
    before = chosen.segment == "policy"
    assert stamps[before].max() <= 3 * S - EXECUTED_NS < stamps[before].max() + FRAME_NS
    assert chosen.chunks[before][..., 0].max() < 3.0  # nothing of the pause and the way back
    # a recovery leads into its correction, and the last one to the end of the episode
    assert chosen.chunks[chosen.segment == "recovery"][..., 0].max() > 7.0
    assert stamps.max() == e.frame_stamps_ns.max()
    after = chosen.segment == "recovery"
    assert stamps[after].min() >= 5 * S and chosen.chunks[after][..., 0].min() >= 5.0


def test_weights_are_of_the_segment_and_untouched_of_the_episode():
    e = episode()
    rac = parse_segments("untouched,recovery,correction:2")
    chosen = choose(e, meta(TOUCHED), rac)
    assert set(zip(chosen.segment.tolist(), chosen.weight.tolist(), strict=True)) == {
        ("recovery", 1.0),
        ("correction", 2.0),
    }
    assert len(choose(e, meta([[0, "policy"]]), rac).frames) == len(e.frame_stamps_ns)
    assert len(choose(e, meta([[0, "pause"], [S, "teleop"]]), rac).frames) < len(e.frame_stamps_ns)
    assert not len(choose(e, meta([[0, "policy"]], "failure"), rac).frames)
    both = parse_segments("untouched:3,teleop")
    assert set(choose(e, meta([[0, "teleop"]]), both).weight) == {3.0}
    assert set(choose(e, meta([[0, "teleop"]], "failure"), both).weight) == {1.0}


def test_what_is_no_segment_is_refused():
    for text in ("policy,nonsense", "policy:0", "policy:-1", "policy:much", "policy:nan", "policy,policy", ""):
        with pytest.raises(ValueError, match="no segment with a weight; allowed: each once of policy, pause"):
            parse_segments(text)
    with pytest.raises(ValueError, match="x has segment 'dance'; allowed"):
        choose(episode(), meta([[0, "dance"]]), parse_segments("policy"))
