"""`retake report`: the page says what the recording holds, and needs nothing but itself."""

from __future__ import annotations

import argparse
import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from policies.episode_meta import EpisodeError
from retake.errors import UserError
from retake.report import command as report
from retake.report.charts import nice_step

from .recordings import MS, Scripted, write_episode

VOID = {"meta", "img", "br"}


class Balanced(HTMLParser):
    """Fails on an element that is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(tmp_path: Path, *words: str) -> str:
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    out = tmp_path / "out" / "report.html"
    assert report.run(parser.parse_args([*words, "--out", str(out)])) == 0
    assert [file.name for file in out.parent.iterdir()] == ["report.html"]
    return out.read_text()


def check_alone(text: str) -> None:
    """Well-formed, and nothing from elsewhere."""
    parsed = Balanced()
    parsed.feed(text)
    assert not parsed.open and {"svg", "img", "table"} <= parsed.seen and "script" not in parsed.seen
    assert not re.search(r"https?:|url\(|@import|<link", text)


def test_an_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page(tmp_path, str(write_episode(tmp_path / "20260101-000000-7")))
    check_alone(text)
    assert "report.html" in capsys.readouterr().out
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(pictures) == 24, "twelve per camera"
    first = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[12]), np.uint8), cv2.IMREAD_COLOR)
    assert first.shape == (48, 64, 3) and abs(int(first.mean()) - 60) < 3, "head, at the very first frame"
    for words in ("policy → teleop", "3.00 x", "recovery", "1.0 : 1", "20260101-000000-7", "g1_box", "picture to motor",
                  "On the system"):
        assert words in text


def test_a_bare_episode(tmp_path: Path) -> None:
    """Without cameras, authority, joint commands: said, not drawn."""
    scripted = Scripted(tmp_path / "e")
    for k in range(20):
        scripted.joints("joint_states", [0.0], [0.0], k * 20 * MS)
    text = page(tmp_path, str(scripted.close("aborted", "recorder")))
    for words in ("No camera was recorded", "No authority was recorded", "No reference was recorded", "not known"):
        assert words in text


def test_names_are_escaped(tmp_path: Path) -> None:
    episode = Scripted(tmp_path / "e", {"task": "<script>alert(1)</script>", "policy_hash": "<b>"})
    episode.text("authority", "none", 0)
    text = page(tmp_path, str(episode.close()))
    assert "<script" not in text and "&lt;script&gt;" in text


def test_a_dataset(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for k, outcome in enumerate(("success", "success", "failure", "discarded")):
        write_episode(root / f"2026010{k}-000000-{k}", seconds=2 + k % 2, outcome=outcome)
    Scripted(root / "20260109-000000-9").writer.abandon()
    text = page(tmp_path, str(root))
    check_alone(text)
    for words in ("1 discarded, 1 failure, 2 success", "2/3", "TQ", "needs --against DATASET", "20260103-000000-3",
                  "20260109-000000-9 has not"):
        assert words in text
    assert re.search(r"SACo</td><td>1\.000", page(tmp_path, str(root), "--against", str(root)))


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no episode 'nothing'"):
        page(tmp_path, "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EpisodeError, match="holds no episode"):
        page(tmp_path, str(tmp_path / "empty"))
    episode = write_episode(tmp_path / "e", seconds=1)
    with pytest.raises(UserError, match="--against compares datasets"):
        page(tmp_path, str(episode), "--against", str(tmp_path))


@pytest.mark.parametrize(("length", "step"), [(10.0, 1.0), (11.0, 2.0), (0.7, 0.1), (3600.0, 500.0)])
def test_steps_of_axes(length: float, step: float) -> None:
    assert nice_step(length, 10) == pytest.approx(step)
