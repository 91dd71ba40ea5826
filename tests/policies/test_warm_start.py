"""Training that goes on from a checkpoint."""

from __future__ import annotations

import argparse

import pytest
import torch

from policies import train
from policies.checkpoint import load_checkpoint
from policies.warm_start import read_start


def trained(recordings, out, *words: str):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    fixed = ("--data", str(recordings), "--out", str(out), "--size", "32x24", "--threads", "1", "--batch-size", "4")
    assert train.run(parser.parse_args([*fixed, *words])) == 0
    return load_checkpoint(out)


def test_it_begins_with_the_weights_of_the_checkpoint(recordings, tmp_path):
    act = trained(recordings, tmp_path / "act", "--steps", "2")
    again = read_start("act", tmp_path / "act", "g1")
    for name, value in act.policy.state_dict().items():
        torch.testing.assert_close(again.policy.state_dict()[name], value, rtol=0, atol=0)
    flow = read_start("flow", tmp_path / "act", "g1")
    for name, value in act.policy.encoders.state_dict().items():
        torch.testing.assert_close(flow.policy.encoders.state_dict()[name], value, rtol=0, atol=0)
    assert flow.policy.action_normaliser.half_range.tolist() == act.policy.action_normaliser.half_range.tolist()
    words = ("--steps", "1", "--policy", "flow", "--start", str(tmp_path / "act"))
    further = trained(recordings, tmp_path / "flow", *words)
    assert further.train["start"] == act.sha256  # and cameras and size are the checkpoint's
    assert further.policy.config.cameras == act.policy.config.cameras


def test_frozen_encoders_stay_as_they_were_and_the_rest_learns(recordings, tmp_path):
    act = trained(recordings, tmp_path / "act", "--steps", "2")
    words = ("--steps", "3", "--start", str(tmp_path / "act"), "--freeze-encoders")
    further = trained(recordings, tmp_path / "further", *words)
    for name, value in act.policy.state_dict().items():
        is_equal = torch.equal(further.policy.state_dict()[name], value)
        assert is_equal or not name.startswith("encoders."), name
    assert not torch.equal(further.policy.leave.weight, act.policy.leave.weight)


def test_a_start_for_another_robot_is_refused(recordings, tmp_path):
    trained(recordings, tmp_path / "act", "--steps", "1")
    with pytest.raises(ValueError, match="'g1'; allowed here: 'yam'"):
        read_start("act", tmp_path / "act", "yam")
