"""The success classifier: learns what done looks like from outcomes alone, says how often it is wrong."""

from __future__ import annotations

import argparse
import json

import cv2
import numpy as np
import pytest
import torch

from policies import train_verifier
from policies.episode_file import EpisodeWriter, episode_folder
from policies.verifier import DESCRIPTION, MODEL, Rate, VerifierError, load_verifier, save_verifier

FRAME_NS, FRAMES, WIDTH, HEIGHT = 66_000_000, 24, 64, 48
NEW = ("guard", "false_alarm")  # in descriptions since learners are told by verifiers


def record(root, k: int, outcome: str) -> None:
    """A square that moves into a bin in a success, and beside it in a failure; as the recorder writes it."""
    rng = np.random.default_rng(k)
    meta = {"robot": "toy", "task": "bin", "seed": k, "action_channels": ["x"], "policy_hash": "-",
            "authority": [[0, "policy"]]}
    writer = EpisodeWriter(episode_folder(root, k), meta)
    y = int(rng.integers(4, 30))
    for n in range(FRAMES):
        picture = np.full((HEIGHT, WIDTH, 3), rng.integers(90, 110), np.uint8)
        picture[:, 44:] = (40, 60, 160)
        x = 4 + 2 * n if outcome == "success" else min(4 + 2 * n, 26)
        picture[y : y + 8, x : x + 8] = (220, 40, 40)
        jpeg = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
        stamp = 1_000_000_000 + n * FRAME_NS
        writer.write_jpeg("/toy/camera/top/color/image_raw/compressed", jpeg, stamp)
        for name in ("measured_action", "reference"):
            writer.write_vector(f"/toy/{name}", ("x",), np.array([float(x)]), stamp)
    writer.close(outcome, "test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("episodes")
    for k in range(24):
        record(root, k, "failure" if k % 2 else "success")
    parser = argparse.ArgumentParser()
    train_verifier.add_arguments(parser)
    out = root / "verifier"
    words = ["--data", str(root), "--out", str(out), "--steps", "50", "--unsure-s", "0.4",
             "--size", str(WIDTH), str(HEIGHT)]
    assert train_verifier.run(parser.parse_args(words)) == 0
    return out


def picture(x: int) -> bytes:
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    image[:, 44:] = (40, 60, 160)
    image[16:24, x : x + 8] = (220, 40, 40)
    return cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()


def test_it_tells_done_from_not_done(trained):
    verifier = load_verifier(trained, "toy", "bin")
    assert verifier.accepts([picture(50)]) and not verifier.accepts([picture(24)])


def test_it_says_how_often_it_is_wrong_on_episodes_that_it_has_not_seen(trained):
    verifier = load_verifier(trained)
    assert (verifier.false_positive.trials, verifier.false_negative.trials) == (3, 3)
    assert verifier.false_positive.errors + verifier.false_negative.errors <= 1
    assert verifier.threshold >= 0.5


@pytest.mark.parametrize(("break_it", "says"), [
    (lambda folder: (folder / MODEL).unlink(), "is no verifier"),
    (lambda folder: (folder / MODEL).write_bytes(b"\x80\x04pickle"), "damaged"),
    (lambda folder: (folder / DESCRIPTION).write_text("{}"), "damaged"),
])  # fmt: skip
def test_damaged_ones_are_refused(trained, tmp_path, break_it, says):
    for name in (MODEL, DESCRIPTION):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    break_it(tmp_path)
    with pytest.raises(VerifierError, match=says):
        load_verifier(tmp_path)


def test_weights_that_are_not_finite_are_refused(trained, tmp_path):
    broken = load_verifier(trained)
    with torch.no_grad():
        broken.net.head[0].bias[0] = float("nan")
    save_verifier(tmp_path, broken)
    with pytest.raises(VerifierError, match="NaN"):
        load_verifier(tmp_path)


def test_another_robot_or_task_or_number_of_pictures_is_refused(trained):
    with pytest.raises(VerifierError, match="allowed here: g1"):
        load_verifier(trained, "g1")
    with pytest.raises(VerifierError, match="allowed here: shelf"):
        load_verifier(trained, task="shelf")
    with pytest.raises(ValueError, match="one of each of top"):
        load_verifier(trained).score([picture(1), picture(2)])


def test_it_knows_where_successes_end_and_how_often_it_raises_a_false_alarm(trained, tmp_path):
    verifier = load_verifier(trained)
    assert verifier.guard is not None and verifier.guard.outside(("x",), np.array([50.0])) == ()
    assert verifier.guard.outside(("x",), np.array([26.0])) == ("x",), "failures stop there"
    assert verifier.false_alarm == Rate(0, 3)
    about = json.loads((trained / DESCRIPTION).read_text())
    (tmp_path / MODEL).write_bytes((trained / MODEL).read_bytes())
    (tmp_path / DESCRIPTION).write_text(json.dumps({k: v for k, v in about.items() if k not in NEW}))
    assert load_verifier(tmp_path).guard is None, "one from before there were guards"
    (tmp_path / DESCRIPTION).write_text(json.dumps({**about, "guard": {"channels": ["x"], "low": [1], "high": [0]}}))
    with pytest.raises(VerifierError, match="train again"):
        load_verifier(tmp_path)


def test_what_it_learnt_from_is_written_down(trained):
    about = json.loads((trained / DESCRIPTION).read_text())
    assert len(about["train"]["episodes"]) == 24 and about["sha256"]


def test_too_few_successes_are_refused(tmp_path):
    for k in range(4):
        record(tmp_path, k, "success")
    parser = argparse.ArgumentParser()
    train_verifier.add_arguments(parser)
    with pytest.raises(VerifierError, match="4 successes of 4"):
        train_verifier.run(parser.parse_args(["--data", str(tmp_path), "--out", str(tmp_path / "out")]))
