"""A residual in the graph: the base bit by bit at step 0 and with the switch off, a bounded displacement otherwise, and
a refusal of what was learnt on something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from residual_graph import LAYOUT, RANGE, RATES, STEP, graph, write, write_base
from std_msgs.msg import String

from policies.residual import load_residual
from policies.rl.weights import WeightsError
from retake.errors import UserError
from retake.graph import make_graph, read_arguments
from retake.policy.residual import Parameters, chosen

BOUND = np.array([0.02] * 3 + [0.15] * 3 + [0.0])


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def plain(base) -> np.ndarray:
    """What the base does by itself."""
    with graph(base) as alone:
        references = alone.run()
        assert alone.sources[-1]["chunk_stamp_ns"] != "0" and np.ptp(references[:, :3]) > 0.0
        return references


def test_at_step_0_the_robot_does_what_the_base_does_bit_by_bit(base, plain, tmp_path):
    sha256 = write(tmp_path, base, False)
    with graph(base, tmp_path) as made:
        assert np.array_equal(made.run(), plain)
        last, told = made.sources[-1], made.told[-1]
        assert last["policy"] == told["base"] == sha256[:16] and last["residual"] == told["sha256"] != ""
        assert told["version"] == 0 and told["period_ns"] == STEP and made.enabled == [True]
        assert told["asks"] is False


def test_with_the_switch_off_it_does_what_the_base_does_bit_by_bit(base, plain, tmp_path):
    write(tmp_path, base, True)
    with graph(base, tmp_path) as made:
        assert np.array_equal(made.run(off_at=0), plain)
        assert made.enabled[-1] is False and {source["residual"] for source in made.sources} == {""}


def test_on_it_displaces_within_its_bound_and_off_goes_back(base, plain, tmp_path):
    write(tmp_path, base, True)
    with graph(base, tmp_path) as made:
        moved = made.run(60, off_at=40)
        away = np.abs([LAYOUT.difference(a, b) for a, b in zip(plain, moved, strict=False)])
        assert 0.0005 < away[39, :3].max() and (away[39] <= 0.2 * np.array([*RANGE, 0.0]) + 1e-3).all()
        assert made.sources[39]["residual"] and not made.sources[40]["residual"]
        assert away[-1, :3].max() < 1e-4


def test_new_weights_wait_for_the_end_of_the_episode(base, tmp_path):
    write(tmp_path, base, False)
    with graph(base, tmp_path) as made:
        made.event.publish(String(data='{"event": "started"}'))
        node = made.nodes[-1]
        made.spin(lambda: node._replacement.in_episode)
        write(tmp_path, base, True)
        made.spin(lambda: node._replacement.reload.is_ready)
        assert [told["version"] for told in made.told] == [0]
        made.event.publish(String(data='{"event": "success"}'))
        made.spin(lambda: [told["version"] for told in made.told] == [0, 5_000])


def test_steps_that_are_no_camera_periods_are_refused(base, tmp_path):
    write(tmp_path, base, True, step_s=0.1)
    with pytest.raises(ValueError, match="steps of 100 ms; allowed: whole camera periods of 60 ms"):
        chosen(Parameters(str(tmp_path), str(base), "yam"))


def test_the_graph_has_one_where_it_was_asked_for():
    words = {"rig": "yam", "headless": "true", "policy": "/x/y"}
    graph = {spec.name: spec for spec in make_graph(read_arguments({**words, "residual": "/r", "explore": "true"}))}
    told = graph["residual"].parameters
    assert told["residual"] == "/r" and told["policy"] == "/x/y" and told["robot"] == "yam" and told["explore"] is True
    assert graph["authority"].parameters["residual"] is True and "chosen(Parameters('/r'" in graph["residual"].check
    without = {spec.name: spec for spec in make_graph(read_arguments(words))}
    assert "residual" not in without and without["authority"].parameters["residual"] is False
    with pytest.raises(UserError, match="residual:=/r corrects a checkpoint of ours; write policy:=FOLDER"):
        make_graph(read_arguments({**words, "policy": "ws://h", "residual": "/r"}))


@pytest.mark.parametrize(("changes", "says"), [
    ({"robot": "panda"}, "robot 'panda'; allowed here: 'yam'"), ({"base": "0" * 64}, "base '000"),
    ({"observation": "state"}, "observation 'state'"), ({"channels": RATES[:5]}, "action_dim 6"),
    ({"channels": (*RATES[:5], "lid")}, "no rate lid; allowed: left_ee"), ({"step_s": 0.0}, "how long a step is"),
    ({"action_range": (0.02,)}, "number of ranges"),
    ({"action_range": (0.2,) * 6}, r"may displace left_ee.position\[0\] by 0.04; allowed: 0.02")])  # fmt: skip
def test_what_was_learnt_on_something_else_is_refused(base, tmp_path, changes, says):
    write(tmp_path, base, True, **changes)
    with pytest.raises(ValueError, match=says):
        load_residual(tmp_path, base, "yam", LAYOUT, LAYOUT.channels, BOUND)


def test_nothing_there_is_refused(base, tmp_path):
    with pytest.raises(WeightsError, match="start the learner first"):
        load_residual(tmp_path, base, "yam", LAYOUT, LAYOUT.channels, BOUND)
