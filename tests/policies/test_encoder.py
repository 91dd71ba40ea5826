"""What both image encoders promise: a place in the picture for each camera, which the other cameras do not change."""

import json

import pytest
import torch
from two_ways import CHANNELS, STATISTICS

from policies.act import ActPolicy
from policies.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from policies.encoder import ENCODERS
from policies.policy import PolicyConfig

HEIGHT, WIDTH, KEYPOINTS = 24, 32, 6


def encoders_of(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return ENCODERS[kind](2, HEIGHT, WIDTH, KEYPOINTS)


@pytest.mark.parametrize("kind", ENCODERS)
def test_each_camera_has_its_own_keypoints(kind):
    encoders, images = encoders_of(kind), torch.rand(3, 2, 3, HEIGHT, WIDTH) * 2.0 - 1.0
    seen = encoders(images)
    assert seen.shape == (3, 2, KEYPOINTS, 2) and (seen.abs() <= 1.0).all()
    images[:, 1] *= -1.0
    again = encoders(images)
    torch.testing.assert_close(again[:, 0], seen[:, 0])
    assert not torch.allclose(again[:, 1], seen[:, 1])


def test_pictures_must_be_made_of_whole_patches():
    with pytest.raises(ValueError, match="pictures of 30x24; allowed: multiples of 4"):
        ENCODERS["patch"](1, 24, 30, KEYPOINTS)


def test_a_checkpoint_that_does_not_name_its_encoder_has_the_older_one(tmp_path):
    config = PolicyConfig(CHANNELS, CHANNELS, ("head",), 32, 24, encoder="keypoint")
    policy = ActPolicy(config, STATISTICS, STATISTICS)
    save_checkpoint(tmp_path, policy, "g1", "g1_box", {})
    about = json.loads((tmp_path / "policy.json").read_text())
    del about["config"]["encoder"]
    (tmp_path / "policy.json").write_text(json.dumps(about))
    assert load_checkpoint(tmp_path).policy.config == config
    about["config"]["encoder"] = "eagle"
    (tmp_path / "policy.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="encoder 'eagle'; allowed: patch, keypoint"):
        load_checkpoint(tmp_path)
