"""What a person may name as a policy, and what goes with it."""

import numpy as np
import pytest
import torch

from controllers.rigs import YAM
from policies.checkpoint import save_checkpoint
from policies.flow import FlowPolicy
from policies.normalise import Normaliser
from policies.policy import PolicyConfig
from policies.policy_choice import Reranking, User, choose
from policies.policy_words import is_class, is_folder, is_remote
from policies.value import ChunkCritic, CriticConfig, save_critic
from retake.errors import UserError
from retake.graph import make_graph, read_arguments

CHANNELS = tuple(YAM.layout.channels)
USER = User("yam", CHANNELS, YAM.cameras, YAM.home_action)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    statistics = Normaliser.fit(CHANNELS, np.stack([YAM.home_action - 0.1, YAM.home_action + 0.1]))
    config = PolicyConfig(CHANNELS, CHANNELS, ("wrist",), 32, 24)
    save_checkpoint(tmp_path / "flow", FlowPolicy(config, statistics, statistics), "yam", "arm_pick", {})
    return tmp_path / "flow"


def test_a_critic_makes_another_policy_and_one_sample_none(folder, tmp_path):
    base = choose(str(folder), USER)
    critic = ChunkCritic(CriticConfig.of(base.policy.config))
    save_critic(tmp_path / "critic", critic, base.sha256, {})
    pictures, state = [np.zeros((24, 32, 3), np.uint8)], YAM.home_action
    chunks = {}
    for samples in (1, 2, 10):
        chosen = choose(str(folder), USER, reranking=Reranking(samples, str(tmp_path / "critic")))
        assert (chosen.sha256 == base.sha256) == (samples == 1)
        chunks[samples] = chosen.policy.predict(pictures, state, seed=3)
    np.testing.assert_array_equal(chunks[1], base.policy.predict(pictures, state, seed=3))
    assert not np.array_equal(chunks[10], chunks[1])


def test_refusals(folder, tmp_path):
    with pytest.raises(ValueError, match="rerank:=10 needs a critic that chooses"):
        Reranking(10)
    with pytest.raises(ValueError, match="is no critic; allowed"):
        choose(str(folder), USER, reranking=Reranking(10, str(tmp_path)))
    with pytest.raises(ValueError, match="cannot be re-ranked; allowed: a checkpoint of ours"):
        choose("package.module:Class", USER, reranking=Reranking(10, str(tmp_path)))
    with pytest.raises(ValueError, match="looks through wrist; yam has the cameras front"):
        choose(str(folder), User("yam", CHANNELS, ("front",), YAM.home_action))


def test_words():
    assert is_remote("ws://here:8000") and is_class("a.b:C") and is_folder("runs/arm_pick") and is_folder("/a/b:c/d")
    assert not any(is_folder(word) for word in ("none", "ws://here", "lerobot:runs/x", "module:Class"))
    assert not is_class("lerobot:runs") and not is_class("runs/a:B")


@pytest.mark.parametrize(("words", "parameters", "is_tried"), [
    ({"policy": "a.b:C", "execution": "latest"}, {"policy": "a.b:C", "execution": "latest"}, True),
    ({"policy": "/x/y", "reload": "true"}, {"policy": "/x/y", "reload": True, "rerank": 1}, False),
    ({"policy": "/x/y", "rerank": "10", "critic": "/x/z"}, {"rerank": 10, "critic": "/x/z"}, True),
    ({"policy": "lerobot:/x/y", "channels": "a=b"}, {"policy": "lerobot:/x/y", "channels": "a=b"}, True),
])  # fmt: skip
def test_the_graph_passes_on_what_a_person_wrote(words, parameters, is_tried):
    graph = make_graph(read_arguments({"rig": "yam", "headless": "true", **words}))
    spec = next(spec for spec in graph if spec.name == "policy_server")
    assert parameters.items() <= spec.parameters.items()
    assert bool(spec.check) == is_tried  # before anything starts; of plain checkpoints preflight looks at the files


def test_the_graph_refuses_other_words():
    for words, says in (({"execution": "fast"}, "unknown execution 'fast'; allowed: auto, realtime_chunking"),
                        ({"rerank": "65"}, "rerank:=65 is out of range; allowed: 1 to 64")):
        with pytest.raises(UserError, match=says):
            read_arguments(words)
