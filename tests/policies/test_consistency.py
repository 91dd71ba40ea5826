"""One-step policies: they learn their teacher's way from noise to chunk, and keep its eyes."""

import argparse

import numpy as np
import pytest
import torch
from test_train import arguments, losses
from two_ways import observations, trained

from policies import train
from policies.checkpoint import load_checkpoint
from policies.consistency import ConsistencyPolicy
from policies.flow import FlowPolicy
from policies.policy import Batch
from policies.prefix import Prefix


def distilled(teacher, n_steps: int = 300):
    student = ConsistencyPolicy.distilling(teacher)
    learning = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=2e-3)
    generator = torch.Generator().manual_seed(5)
    images, state = observations(64)
    for _ in range(n_steps):
        loss = student.loss(Batch(images, state, torch.zeros(64, 6, 3)), generator, 0.0, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return student.eval()


@pytest.fixture(scope="module")
def teacher():
    return trained(FlowPolicy)


@pytest.fixture(scope="module")
def student(teacher):
    return distilled(teacher)


def test_one_step_says_what_the_teacher_says(teacher, student):
    one, several = (p.sample(*observations(200), torch.Generator().manual_seed(2)) for p in (student, teacher))
    untaught = ConsistencyPolicy.distilling(teacher).sample(*observations(200), torch.Generator().manual_seed(2))
    error, before = ((chunks - several).abs().mean() for chunks in (one, untaught))
    assert error < 0.3 * before  # one step of the teacher alone says the mean of both ways
    assert ((one[:, :, 1].mean(1) > 0) == (several[:, :, 1].mean(1) > 0)).float().mean() > 0.9


def test_encoder_is_the_teachers_and_the_teacher_is_no_part_of_the_checkpoint(teacher, student):
    last = f"blocks.{teacher.config.n_blocks - 1}."  # it has a block less, and one time only
    left = {name for name in teacher.state_dict() if name.startswith(("time.", last))}
    assert left and set(student.state_dict()) == set(teacher.state_dict()) - left | {"noisiest"}
    for name, value in student.context.state_dict().items():
        assert torch.equal(value, teacher.context.state_dict()[name])
    assert not any(p.requires_grad for p in (*student.context.parameters(), *teacher.parameters()))


def test_with_a_prefix_the_way_that_was_taken_goes_on(student):
    weight = torch.tensor([1.0, 1.0, 0.5, 0.2, 0.0, 0.0])
    for side in (0.8, -0.8):
        executed = torch.tensor([0.0, side, 0.3]).expand(8, 6, 3)
        chunks = student.sample(*observations(8), torch.Generator().manual_seed(4), Prefix(executed, weight))
        assert torch.equal(chunks[:, :2], executed[:, :2])
        assert (chunks[:, :, 1] * side > 0).all()


def test_without_a_teacher_there_is_nothing_to_learn(teacher):
    student = ConsistencyPolicy(teacher.config, teacher.state_normaliser, teacher.action_normaliser)
    with pytest.raises(ValueError, match="has no teacher; allowed: `retake train --policy consistency --teacher"):
        student.loss(Batch(*observations(1), torch.zeros(1, 6, 3)), torch.Generator(), 0.0, 0.0)


def run(data, out, *words: str) -> argparse.Namespace:
    return arguments("--data", str(data), "--out", str(out), "--validation", "0.25", *words)


@pytest.mark.parametrize("kind", ["flow", "diffusion"])
def test_command_distills_resumes_and_names_the_teacher(recordings, tmp_path, kind):
    assert train.run(run(recordings, tmp_path / "teacher", "--policy", kind, "--steps", "2")) == 0
    of = ("--policy", "consistency", "--teacher", str(tmp_path / "teacher"), "--steps", "4")
    assert train.run(run(recordings, tmp_path / "student", *of)) == 0
    teacher, student = load_checkpoint(tmp_path / "teacher"), load_checkpoint(tmp_path / "student")
    assert student.train["teacher"] == teacher.sha256 and len(losses(tmp_path / "student")) == 4
    for name, value in teacher.policy.encoders.state_dict().items():
        assert torch.equal(value, student.policy.encoders.state_dict()[name])
    pictures = [np.zeros((24, 32, 3), np.uint8)] * 2
    state = teacher.policy.state_normaliser.centre
    assert student.policy.predict(pictures, state, seed=1).shape == (24, 17)
    assert train.run(run(recordings, tmp_path / "student", *of, "--resume")) == 0
    for words, says in (
        (("--policy", "consistency"), "--policy consistency without --teacher; allowed"),
        (("--policy", "act", *of[2:]), "--policy act with --teacher; allowed"),
        (("--policy", "consistency", "--teacher", str(tmp_path / "student")), "is no teacher; allowed: a flow or"),
        (("--policy", "consistency", "--teacher", str(recordings)), "is no checkpoint"),
    ):
        with pytest.raises(ValueError, match=says):
            train.run(run(recordings, tmp_path / "other", *words))
