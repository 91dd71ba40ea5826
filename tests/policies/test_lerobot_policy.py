"""LeRobot's checkpoints: what is refused by name without the package, and its policies behind `retake serve`, where
RETAKE_LEROBOT_PYTHON names an interpreter that has it, with msgpack and websockets, and diffusers for its diffusion."""

import json
import os
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from controllers.rigs import YAM
from policies.lerobot_policy import LeRobotPolicy, read_names
from policies.observation import Observation
from policies.policy_choice import User, choose
from policies.remote_policy import RemotePolicy
from policies.remote_terms import Robot, agree
from policies.remote_told import Told

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("RETAKE_LEROBOT_PYTHON", "")
CHANNELS = tuple(YAM.layout.channels)
USER = User("yam", CHANNELS, YAM.cameras, YAM.home_action)


def info(names=CHANNELS) -> dict:
    vector = {"dtype": "float32", "shape": [8], "names": list(names)}
    return {"fps": 15, "robot_type": "somebody's", "features": {"observation.state": vector, "action": vector}}


def config() -> dict:
    return {"type": "act", "n_obs_steps": 1, "output_features": {"action": {"type": "ACTION", "shape": [8]}},
            "input_features": {"observation.state": {"type": "STATE", "shape": [8]},
                               "observation.images.front": {"type": "VISUAL", "shape": [3, 96, 128]}}}  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> Path:
    """As far as it can be looked at without the package."""
    (tmp_path / "config.json").write_text(json.dumps(config()))
    (tmp_path / "info.json").write_text(json.dumps(info()))
    for name in ("model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def change(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda f: (f / "model.safetensors").unlink(), "no checkpoint of LeRobot: it lacks model.safetensors; allowed"),
    (lambda f: (f / "info.json").unlink(), "does not say what its numbers mean; copy meta/info.json"),
    (lambda f: (f / "config.json").write_text("["), "config.json is no JSON object"),
    (lambda f: change(f / "config.json", type="pi0"), "is 'pi0'; allowed: act, diffusion"),
    (lambda f: change(f / "config.json", n_obs_steps=2), "n_obs_steps 2; allowed: 1"),
    (lambda f: change(f / "config.json", input_features={}), "takes nothing; allowed: observation.state and"),
    (lambda f: change(f / "info.json", features={}), "does not name the 8 numbers of observation.state one by one"),
    (lambda f: change(f / "info.json", **info([*CHANNELS[:-1], "grip"])), r"lacks \['left_gripper'\] and has \['gri"),
])  # fmt: skip
def test_refusals(folder, spoil, says):
    spoil(folder)
    with pytest.raises(ValueError, match=says):
        choose(f"lerobot:{folder}", USER)


@pytest.mark.parametrize(("names", "says"), [
    ("gripper", "cannot read channels:=gripper"), ("a=b a=c", "each once"), ("a=c b=c", "each once"),
    ("left_gripper=grip", "has no grip; allowed: left_ee.x"),
])  # fmt: skip
def test_refused_names(folder, names, says):
    with pytest.raises(ValueError, match=says):
        choose(f"lerobot:{folder}", USER, names)


def test_the_dataset_of_the_training_names_the_channels(folder, tmp_path):
    (folder / "info.json").unlink()
    (tmp_path / "dataset/meta").mkdir(parents=True)
    (tmp_path / "dataset/meta/info.json").write_text(json.dumps(info(CHANNELS[::-1])))
    (folder / "train_config.json").write_text(json.dumps({"dataset": {"root": str(tmp_path / "dataset")}}))
    with pytest.raises(ValueError, match="LeRobot cannot be imported here .* run `retake serve policy:=lerobot:"):
        LeRobotPolicy(folder, CHANNELS, {})  # it got as far as that: names in another order are no obstacle


def test_only_lerobots_policies_have_other_names(folder):
    assert read_names("a=b, c=d") == {"a": "b", "c": "d"}
    with pytest.raises(ValueError, match="channels:=a=b is about LeRobot's policies"):
        choose(str(folder), USER, "a=b")


MAKE = """
import json, sys, torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies import get_policy_class, make_policy_config, make_pre_post_processors
kind, folder = sys.argv[1:]
torch.manual_seed(0)
own = {"act": dict(chunk_size=24, n_action_steps=24, dim_model=64, n_heads=2, dim_feedforward=64, n_encoder_layers=1,
                   n_vae_encoder_layers=1, latent_dim=8),
       "diffusion": dict(n_obs_steps=1, horizon=16, n_action_steps=8, down_dims=(32, 64), num_inference_steps=4,
                         crop_shape=None, noise_scheduler_type="DDIM")}[kind]
def feature(kind, *shape):
    return PolicyFeature(FeatureType[kind], shape)
inputs = {"observation.state": feature("STATE", 8), "observation.images.wrist": feature("VISUAL", 3, 96, 128),
          "observation.images.top": feature("VISUAL", 3, 96, 128)}
config = make_policy_config(kind, input_features=inputs, output_features={"action": feature("ACTION", 8)}, device="cpu",
                            pretrained_backbone_weights=None, push_to_hub=False, **own)
policy = get_policy_class(kind)(config)
policy.save_pretrained(folder)
low, high = -torch.arange(8.0) - 1, torch.arange(8.0) + 1
vector = {"min": low, "max": high, "mean": torch.arange(8.0), "std": torch.ones(8)}
image = {"min": torch.zeros(3, 1, 1), "max": torch.ones(3, 1, 1), "mean": torch.full((3, 1, 1), 0.5),
         "std": torch.full((3, 1, 1), 0.25)}
stats = {"observation.state": vector, "action": vector, "observation.images.wrist": image,
         "observation.images.top": image}
before, after = make_pre_post_processors(config, dataset_stats=stats)
before.save_pretrained(folder)
after.save_pretrained(folder)
seen = {"observation.state": torch.arange(8.0) / 8, "observation.images.wrist": torch.full((3, 96, 128), 100 / 255),
        "observation.images.top": torch.full((3, 96, 128), 200 / 255)}
batch = before(seen)
if kind == "act":
    print(json.dumps(after(policy.predict_action_chunk(batch)[0]).tolist()))
else:
    print("[]")
"""


@pytest.mark.skipif(not PYTHON, reason="RETAKE_LEROBOT_PYTHON names no interpreter with lerobot")
@pytest.mark.heavy  # two imports of lerobot, 20 s each
@pytest.mark.parametrize("kind", ["act", "diffusion"])
def test_served_from_its_own_environment(kind, tmp_path):
    made = subprocess.run([PYTHON, "-c", MAKE, kind, str(tmp_path)], capture_output=True, text=True, timeout=900)
    assert made.returncode == 0, made.stderr
    expected = np.array(json.loads(made.stdout.splitlines()[-1]))
    theirs = [*CHANNELS[:-1], "grip"]
    (tmp_path / "info.json").write_text(json.dumps(info(theirs)))
    path = os.pathsep.join([str(ROOT), str(ROOT / "robot_ws/src/retake"), os.environ.get("PYTHONPATH", "")])
    command = [PYTHON, "-m", "retake.cli", "serve", f"policy:=lerobot:{tmp_path}",
               "channels:=left_gripper=grip front=top", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "PYTHONPATH": path}) as server:
        try:
            first = next(line for line in server.stdout if "ws://" in line or "retake serve:" in line)
            assert "ms a chunk; ws://" in first, first
            address = first.split()[-1]
            done, answers = threading.Event(), []
            ready = threading.Event()
            robot = Robot("yam", CHANNELS, YAM.cameras)
            asked = RemotePolicy(address, "", partial(agree, robot=robot, told=Told(), address=address),
                                 YAM.home_action, lambda _: ready.set(), lambda a: (answers.append(a), done.set()))
            try:
                assert ready.wait(120.0), asked.trouble
                assert asked.terms.cameras == ("wrist", "front") and asked.terms.chunk_dt_ns == 66_666_667
                jpegs = tuple(cv2.imencode(".png", np.full((96, 128, 3), grey, np.uint8))[1].tobytes()
                              for grey in (100, 200))
                asked.submit(Observation(1, jpegs, np.arange(8.0) / 8, 1), asked.terms.cameras)
                assert done.wait(120.0) and answers[0].refusal == ""
                chunk = answers[0].chunk
                assert chunk.shape == (23 if kind == "act" else 15, 8) and np.isfinite(chunk).all()
                if kind == "act":
                    np.testing.assert_allclose(chunk, expected[1:], atol=1e-4)
            finally:
                asked.close()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60.0)
