"""`retake eval --one-process`: the same lines whoever runs the seeds, resumed after a kill, refused by name."""

from __future__ import annotations

import json
import re
import sys
import types

import pytest

from retake import cli
from sim import evaluate, parallel
from sim.evaluation import ResultFile, settings_of
from sim.evaluation_summary import compare, summarise
from sim.tasks import HELD_OUT_SEED

CHECKPOINT = "policies/checkpoints/g1_box"
SEEDS = range(HELD_OUT_SEED, HELD_OUT_SEED + 20)


@pytest.fixture
def result(tmp_path):
    return ResultFile(tmp_path, settings_of(CHECKPOINT))


def line(seed: int, outcome: str = "success", **values) -> dict:
    return {"seed": seed, "outcome": outcome, "why": "success" if outcome == "success" else "timeout", "time_s": 7.5,
            "held_ticks": 0, "refused": 0, "refusal": "", "tries": [], "wall_s": 1.5, **values}


def test_a_result_file_goes_on_where_it_was(result, tmp_path):
    for seed in SEEDS[:5]:
        result.add(line(seed), b"")
    again = ResultFile(tmp_path, settings_of(CHECKPOINT))
    assert again.lines == result.lines and again.missing(SEEDS[:7]) == list(SEEDS[5:7])
    assert len(again.path.read_text().splitlines()) == 6


def test_a_torn_line_is_run_again(result, tmp_path):
    for seed in SEEDS[:3]:
        result.add(line(seed), b"")
    data = result.path.read_bytes()
    result.path.write_bytes(data[:-7])
    again = ResultFile(tmp_path, settings_of(CHECKPOINT))
    assert again.missing(SEEDS[:3]) == [SEEDS[2]]
    again.add(line(SEEDS[2]), b"")
    assert again.path.read_bytes() == data


def test_other_settings_are_another_file(result, tmp_path):
    late = ResultFile(tmp_path, settings_of(CHECKPOINT, latency_s=0.25))
    assert late.path != result.path
    late.path.write_bytes(result.path.read_bytes())
    with pytest.raises(ValueError, match="another evaluation"):
        ResultFile(tmp_path, settings_of(CHECKPOINT, latency_s=0.25))


def test_figures_and_comparison(tmp_path):
    files = [ResultFile(tmp_path, settings_of(CHECKPOINT, latency_s=latency)) for latency in (0.1, 0.2)]
    for k, seed in enumerate(SEEDS):
        files[0].add(line(seed, "failure" if k % 2 else "success", time_s=float(k)), b"")
        files[1].add(line(seed, "failure" if k == 1 else "success"), b"film" if k == 1 else b"")
    first, second = (summarise(settings_of(CHECKPOINT), file, SEEDS) for file in files)
    assert (first["successes"], first["trials"], first["time_to_success_s"]["median"]) == (10, 20, 9.0)
    paired = compare(first, second)
    assert paired["difference"] == pytest.approx(0.45) and paired["p_value"] == pytest.approx(2 / 2**9)
    assert paired["differing_seeds"] == list(SEEDS[3::2])
    assert (tmp_path / second["episodes"][1]["film"]).read_bytes() == b"film"
    page = evaluate.write_page(tmp_path, {"policies": [first, second], "paired": paired}).read_text()
    assert "+45.0 points" in page and second["episodes"][1]["film"] in page


@pytest.mark.parametrize(("words", "says"), [
    (["--one-process"], "a checkpoint's folder"), (["--one-process", "policy:=x"], "name:=value is for the graph"),
    (["--one-process", "nowhere"], "no checkpoint"), (["nowhere"], "--one-process"),
    (["--one-process", CHECKPOINT, "--seed", "5"], "may have been trained on"),
    (["--one-process", CHECKPOINT, CHECKPOINT], "same policy"),
    (["--one-process", CHECKPOINT, "--workers", "0"], "at least 1"),
    (["--one-process", CHECKPOINT, "--latency", "-1"], "0 and more seconds"),
    (["--workers", "3"], "--workers is for --one-process"),
    (["--one-process", CHECKPOINT, "--tries", "3"], "without --verifier"),
    (["--one-process", CHECKPOINT, "--tries", "3", "--verifier", "nowhere"], "no verifier"),
])  # fmt: skip
def test_what_cannot_be_evaluated_is_refused_in_one_line(words, says, capsys):
    assert cli.main(["eval", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1


def strip(outcomes) -> dict[int, dict]:
    """Lines without the wall's clock, by seed."""
    return {each["seed"]: {k: v for k, v in each.items() if k != "wall_s"} for each, _ in outcomes}


@pytest.mark.heavy
def test_processes_and_ray_find_what_one_process_finds():
    settings = settings_of(CHECKPOINT)
    alone = strip(parallel.serially(settings, SEEDS[:3], "none"))
    assert strip(parallel.in_processes(settings, SEEDS[:3], "none", 2)) == alone
    pytest.importorskip("ray")
    assert strip(parallel.on_ray(settings, SEEDS[:3], "none", 2, "local")) == alone


@pytest.mark.parametrize(("fails", "says"), [
    ("init", "Ray does not start at there (no such host); allowed: the address of a cluster"),
    ("port", "Ray does not start at 127.0.0.1:1 ([Errno 111] Connection refused); allowed"),
    ("remote", "Ray has failed (OSError: no space left); what has ended is kept")])  # fmt: skip
def test_ray_that_fails_is_one_line(monkeypatch, fails, says):
    class RayError(Exception):
        pass

    def init(**_: object) -> None:
        if fails == "init":
            raise Exception("no such host\nmore")  # as Ray does

    def remote(**_: object) -> None:
        raise RayError("Traceback\n  File\nOSError: no space left\n")

    exceptions = types.SimpleNamespace(RayError=RayError)
    ray = types.SimpleNamespace(init=init, remote=remote, shutdown=lambda: None, exceptions=exceptions)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(ValueError, match=re.escape(says)) as raised:
        address = "127.0.0.1:1" if fails == "port" else "there"
        list(parallel.on_ray(settings_of(CHECKPOINT), SEEDS[:1], "none", 1, address))
    assert "\n" not in str(raised.value)


@pytest.mark.heavy
def test_the_command_goes_on_and_writes_its_page(tmp_path, capsys):
    def run(episodes: int) -> dict:
        assert cli.main(["eval", "--one-process", CHECKPOINT, "--episodes", str(episodes), "--films", "all",
                         "--out", str(tmp_path)]) == 0  # fmt: skip
        return json.loads((tmp_path / "eval.json").read_text())["policies"][0]

    one, two = run(1), run(2)
    assert two["episodes"][0] == one["episodes"][0] and two["trials"] == 2 and two["seeds"] == list(SEEDS[:2])
    film = (tmp_path / two["episodes"][1]["film"]).read_bytes()
    assert film[4:8] == b"ftyp" and "index.html" in capsys.readouterr().out
