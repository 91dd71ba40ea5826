"""Agreeing with a server: ours, openpi's that says nothing, and those that are for something else."""

import cv2
import numpy as np
import pytest

from controllers.rigs import G1
from policies.observation import Observation
from policies.remote_terms import Robot, agree, describe
from policies.remote_told import Told
from retake.errors import UserError
from retake.graph import make_graph, read_arguments
from retake.policy.remote_choice import read_remote, told_of

ROBOT = Robot("g1", tuple(G1.layout.channels), G1.cameras)
WORDS = "state=observation/state images=head:observation/image,chest:observation/wrist_image size=224x224 dt_ms=50"


def test_with_our_server_nothing_needs_to_be_said(checkpoint):
    terms = agree(describe(checkpoint), ROBOT, Told(), "ws://here")
    assert (terms.cameras, terms.width, terms.height, terms.horizon) == (("head", "chest"), 32, 24, 24)
    assert (terms.chunk_dt_ns, terms.dim, terms.name) == (66_000_000, 17, checkpoint.sha256[:16])


@pytest.mark.parametrize(("change", "says"), [
    ({"robot": "yam"}, "the server says robot 'yam'; allowed: 'g1'"), ({"protocol": "retake/2"}, "speaks 'retake/2'"),
    ({"protocol": 7}, "speaks '7'"), ({"image_size": [24]}, "image_size"), ({"image_size": [24, 1e9]}, "image_size"),
    ({"action_channels": ["x"]}, "other action_channels .*unknown"), ({"action_channels": 3}, "action_channels '3'"),
    ({"action_channels": list(ROBOT.channels[::-1])}, "another order"), ({"action_dim": 7}, "action_dim '7'"),
    ({"state_channels": list(ROBOT.channels[1:])}, r"missing \['left_ee.x'\]"), ({"state_key": 1}, "state_key or"),
    ({"image_keys": {"wrist": "observation/wrist"}}, "wants the cameras wrist; g1 has: head, chest"),
    ({"image_keys": {}}, "state_key or image_keys"), ({"image_keys": {"head": "a", "chest": "a"}}, "under one key"),
    ({"chunk_dt_s": float("nan")}, "chunk_dt_s nan"), ({"chunk_dt_s": "soon"}, "chunk_dt_s soon"),
    ({"chunk_dt_s": True}, "chunk_dt_s True"), ({"action_horizon": 10**9}, "action_horizon 1000000000"),
])  # fmt: skip
def test_refuses_by_name(checkpoint, change, says):
    with pytest.raises(ValueError, match=says):
        agree(describe(checkpoint) | change, ROBOT, Told(), "ws://here")


@pytest.mark.parametrize("metadata", [None, [1], "text", np.zeros(3)])
def test_metadata_that_is_none(metadata):
    with pytest.raises(ValueError, match="allowed: a map"):
        agree(metadata, ROBOT, Told(), "ws://here")


def test_a_server_that_says_nothing_is_told(observation):
    with pytest.raises(ValueError, match="does not say state_key, image_keys, image_size, chunk_dt_s; say it: remote"):
        agree({}, ROBOT, Told(), "ws://here")
    told = told_of(read_remote(f"{WORDS} prompt='lift the box'"))
    terms = agree({"reset_pose": [0.0]}, ROBOT, told, "ws://here")
    assert terms.name.startswith("remote-") and len(terms.name) == 16 and terms.chunk_dt_ns == 50_000_000
    wide = cv2.imencode(".jpg", np.full((480, 640, 3), 200, np.uint8))[1].tobytes()
    message = terms.request(Observation(0, (wide, wide), G1.home_action, 0))
    assert set(message) == {"observation/state", "observation/image", "observation/wrist_image", "prompt"}
    picture = message["observation/image"]
    assert picture.shape == (224, 224, 3) and picture.dtype == np.uint8 and message["prompt"] == "lift the box"
    assert not picture[:28].any() and not picture[196:].any() and (picture[28:196] > 190).all()
    assert message["observation/state"].dtype == np.float32
    with pytest.raises(ValueError, match="a 64x48 picture for a server that takes 224x224"):
        terms.request(observation)


def test_what_both_say_must_be_the_same(checkpoint):
    with pytest.raises(ValueError, match="the server says chunk_dt_s 0.066, remote:= says 0.05; leave it out"):
        agree(describe(checkpoint), ROBOT, Told(chunk_dt_s=0.05), "ws://here")


@pytest.mark.parametrize(("answer", "says"), [
    (None, "no array"), ({}, "no array"), ({"actions": [[0.0] * 17]}, "but list"),
    ({"actions": np.zeros((24, 17), int)}, "no array of floats"), ({"actions": np.zeros((24, 7))}, r"\(24, 7\)"),
    ({"actions": np.zeros(17)}, r"\(17,\)"), ({"actions": np.zeros((23, 17))}, r"allowed: \(24, 17\)"),
    ({"actions": np.full((24, 17), np.inf)}, "not finite"),
])  # fmt: skip
def test_answers_that_are_no_chunk(checkpoint, answer, says):
    terms = agree(describe(checkpoint), ROBOT, Told(), "ws://here")
    with pytest.raises(ValueError, match=says):
        terms.chunk(answer)


@pytest.mark.parametrize(("policy", "remote", "says"), [
    ("ws://", "", "no address of a policy server"), ("ws://h:x", "", "no address"),
    ("ws://me:secret@h", "", "RETAKE_POLICY_TOKEN"), ("none", "dt=5", "remote:= is about a server"),
    ("g1_box", "dt_ms=5", "remote:= is about a server"), ("ws://h", "dt=5", "cannot read 'dt=5'"),
    ("ws://h", "dt_ms=0.1", "allowed: 1 to 1000"), ("ws://h", "dt_ms=nan", "allowed: 1 to 1000"),
    ("ws://h", "size=5", "WIDTHxHEIGHT"), ("ws://h", "images=head", "CAMERA:KEY"),
    ("ws://h", "prompt='a", "No closing quotation"), ("ws://h", "answer_s=60", "0.05 to 10"),
])  # fmt: skip
def test_arguments_that_are_refused(policy, remote, says):
    with pytest.raises(UserError, match=says):
        make_graph(read_arguments({"headless": "true", "policy": policy, "remote": remote}))


def test_lockstep_waits_for_nobody():
    with pytest.raises(UserError, match="lockstep:=false"):
        make_graph(read_arguments({"headless": "true", "policy": "ws://h", "lockstep": "true"}))


def test_the_graph_asks_instead_of_answering():
    nodes = {spec.name: spec for spec in make_graph(read_arguments({"headless": "true", "policy": "ws://h:8000",
                                                                    "remote": WORDS}))}  # fmt: skip
    assert "policy_server" not in nodes and nodes["authority"].parameters["policy"] is True
    asked = nodes["remote_policy"]
    assert asked.parameters["address"] == "ws://h:8000" and asked.parameters["dt_ms"] == 50.0
    assert asked.module == "retake.policy.remote_policy" and asked.namespace == "/g1"
