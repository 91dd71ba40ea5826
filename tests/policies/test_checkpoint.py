"""Checkpoint round trip, and every refusal by name."""

import hashlib
import json
import shutil

import box_toy
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from policies.checkpoint import KINDS, CheckpointError, load_checkpoint, save_checkpoint
from policies.diffusion import DiffusionConfig, DiffusionPolicy
from policies.flow import FlowPolicy
from policies.normalise import Normaliser
from policies.policy import PolicyConfig

CHANNELS = box_toy.CHANNELS


@pytest.fixture(scope="module")
def policy() -> FlowPolicy:
    torch.manual_seed(0)
    statistics = Normaliser.fit(CHANNELS, np.stack([box_toy.HOME, box_toy.expert(box_toy.Scene.random(0))[60]]))
    return FlowPolicy(PolicyConfig(CHANNELS, CHANNELS, ("chest", "head"), 64, 48), statistics, statistics)


@pytest.fixture
def folder(policy, tmp_path):
    save_checkpoint(tmp_path / "policy", policy, "g1", "g1_box", {"seed": 0})
    return tmp_path / "policy"


def edit(folder, change) -> None:
    about = json.loads((folder / "policy.json").read_text())
    change(about)
    (folder / "policy.json").write_text(json.dumps(about))


def edit_weights(folder, change) -> None:
    """Change the weights and make the description agree, as somebody who means it would."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit(folder, lambda about: about.update(sha256=digest))


def test_round_trip_is_exact_and_small(policy, folder):
    loaded = load_checkpoint(folder, "g1", CHANNELS)
    assert (loaded.robot, loaded.task, loaded.train) == ("g1", "g1_box", {"seed": 0})
    pictures = [np.random.default_rng(c).integers(0, 256, (48, 64, 3), np.uint8) for c in range(2)]
    chunks = [p.predict(pictures, box_toy.HOME, seed=7) for p in (policy, loaded.policy)]
    np.testing.assert_array_equal(*chunks)
    assert chunks[0].shape == (24, 17)
    np.testing.assert_allclose(np.linalg.norm(chunks[0][:, 3:7], axis=1), 1.0)
    assert not np.array_equal(loaded.policy.predict(pictures, box_toy.HOME, seed=8), chunks[0])  # flow draws noise
    assert sum(f.stat().st_size for f in folder.iterdir()) < 10_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_full_size_policy_fits(policy, kind):
    config = KINDS[kind].Config(CHANNELS, CHANNELS, ("chest", "head"))
    full = KINDS[kind](config, policy.state_normaliser, policy.action_normaliser)
    assert 4 * sum(p.numel() for p in full.parameters()) < 10_000_000


@pytest.mark.parametrize(("change", "says"), [
    ({}, ""),
    ({"prediction_type": "score"}, "prediction_type 'score'; allowed: .*, epsilon"),
    ({"prediction_type": 1}, "prediction_type = 1"),
    ({"num_inference_steps": 101}, "num_inference_steps 101 of num_train_timesteps 100; allowed"),
    ({"num_inference_steps": "8"}, "num_inference_steps = '8'"),
])  # fmt: skip
def test_parameters_of_diffusion_are_kept_and_checked(policy, tmp_path, change, says):
    config = DiffusionConfig(CHANNELS, CHANNELS, ("head",), 64, 48, num_inference_steps=4)
    diffusion = DiffusionPolicy(config, policy.state_normaliser, policy.action_normaliser)
    save_checkpoint(tmp_path, diffusion, "g1", "g1_box", {})
    edit(tmp_path, lambda about: about["config"].update(change))
    if not says:
        assert load_checkpoint(tmp_path).policy.config == config
        return
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(tmp_path)


def test_observation_of_another_shape_is_refused(policy):
    picture, state = np.zeros((48, 64, 3), np.uint8), box_toy.HOME
    for pictures, said in (
        ([picture], r"1 pictures .* allowed: 2 of \(48, 64, 3\) uint8 RGB, of chest, head"),
        ([picture, picture[:, :32]], "2 pictures"),
        ([picture, picture.astype(np.float32)], "float32"),
    ):
        with pytest.raises(ValueError, match=said):
            policy.predict(pictures, state, seed=0)
    with pytest.raises(ValueError, match=r"the state is \(16,\); allowed: \(17,\): left_ee.x"):
        policy.predict([picture, picture], state[:16], seed=0)


def test_other_robot_or_channels_are_refused(folder):
    with pytest.raises(CheckpointError, match="policy for 'g1'; allowed here: 'yam'"):
        load_checkpoint(folder, "yam")
    with pytest.raises(CheckpointError, match=r"wrong action channels \(missing \['base.vx'\], unknown \[\]\)"):
        load_checkpoint(folder, "g1", (*CHANNELS, "base.vx"))
    with pytest.raises(CheckpointError, match="another order"):
        load_checkpoint(folder, "g1", CHANNELS[::-1])


def test_pickle_is_never_read(folder, policy):
    with pytest.raises(CheckpointError, match="a pickle, .pt or .pth is never read"):
        load_checkpoint(folder / "model.pt")
    torch.save(policy.state_dict(), folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="is not safetensors"):
        load_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        load_checkpoint(folder)


@pytest.mark.parametrize(("change", "says"), [
    (lambda w: w["leave.bias"].fill_(float("nan")), "leave.bias holds NaN"),
    (lambda w: w["leave.bias"].fill_(float("inf")), "leave.bias holds NaN or infinity"),
    (lambda w: w.pop("leave.bias"), r"missing weights \['leave.bias'\]"),
    (lambda w: w.update(hello=torch.zeros(1)), r"unknown \['hello'\]"),
    (lambda w: w.update({"leave.bias": torch.zeros(3)}), r"leave.bias is \(3,\)"),
    (lambda w: w.update({"leave.bias": w["leave.bias"].double()}), "torch.float64"),
])  # fmt: skip
def test_wrong_weights_are_refused(folder, change, says):
    edit_weights(folder, change)
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(folder)


@pytest.mark.parametrize(("change", "says"), [
    (lambda a: a.update(format=2), r"format and kind are \(2, 'flow'\)"),
    (lambda a: a.update(kind="llama"), "format and kind"),
    (lambda a: a.pop("robot"), r"missing keys \['robot'\]"),
    (lambda a: a.update(extra=1), r"unknown keys \['extra'\]"),
    (lambda a: a["config"].pop("width"), "width"),
    (lambda a: a["config"].update(width=-64), "width = -64"),
    (lambda a: a["config"].update(hidden_dim=10**9), "beyond 2048"),
    (lambda a: a["config"].update(chunk_size=10**9), "beyond 256"),
    (lambda a: a["config"].update(n_blocks=2.0), "n_blocks = 2.0"),
    (lambda a: a["config"].update(n_blocks=True), "n_blocks = True"),
    (lambda a: a["config"].update(cameras="head"), "cameras|leave|weights"),
    (lambda a: a["statistics"]["action"]["centre"].pop(), "statistics of action must be 17"),
    (lambda a: a["statistics"]["state"].update(half_range=[0.0] * 17), "half ranges above 0"),
    (lambda a: a["statistics"]["state"].update(centre=[float("nan")] * 17), "finite"),
    (lambda a: a.update(sha256="0" * 64), "sha256 is not the one"),
    (lambda a: a.update(statistics=[]), "config or statistics are wrong"),
    (lambda a: a["config"].update(n_blocks=2), "unknown"),
])  # fmt: skip
def test_wrong_description_is_refused(folder, change, says):
    edit(folder, change)
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "not json", '{"action_dim": 7}', "\x00\xff"])
def test_foreign_json_is_refused(folder, text):
    (folder / "policy.json").write_text(text)
    with pytest.raises(CheckpointError, match="allowed"):
        load_checkpoint(folder)


def test_oversized_weights_are_refused_unread(folder, tmp_path):
    shutil.copy(folder / "policy.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(bytes(10_000_001))
    with pytest.raises(CheckpointError, match="10000001 bytes; allowed: 10000000"):
        load_checkpoint(tmp_path)
