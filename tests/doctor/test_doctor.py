"""The command: a line for each check, and the exit code."""

from __future__ import annotations

import pytest

from retake.cli import COMMANDS, main
from retake.doctor import command as doctor
from retake.doctor import machine as doctor_machine
from retake.doctor.finding import bad, good, note


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list:
    """Only the checks in this list are made."""
    chosen: list = []
    monkeypatch.setattr(doctor, "checks", lambda values, buses: iter(chosen))
    return chosen


def test_the_command_is_there() -> None:
    assert COMMANDS["doctor"][0] == "retake.doctor.command"


def test_notes_are_allowed_and_bad_is_not(quick: list, capsys: pytest.CaptureFixture[str]) -> None:
    quick += [lambda: good("disk", "fast"), lambda: [note("clock", "free", "set it")]]
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == "ok   disk        fast\nnote clock       free: set it\n1 well, 1 to note, 0 bad\n"
    quick.append(lambda: bad("can", "no can0", "plug it in"))
    assert main(["doctor"]) == 1


def test_an_unknown_argument_is_refused_as_by_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "colour:=red"]) == 2
    assert "no argument colour; allowed: " in capsys.readouterr().err


def test_what_the_graph_would_refuse_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    values = doctor.read_arguments({"robot": "hardware"})
    lines = []
    for check in doctor.checks(values, ["can7"]):
        name = getattr(getattr(check, "func", check), "__name__", "")
        if name in ("refused", "can", "interface", "<lambda>"):
            found = check()
            lines.append(found.line())
    assert any(line.startswith("BAD  graph") for line in lines)  # a policy without cameras
    assert any("no CAN bus can7" in line for line in lines)
    assert any("none is named; here are: " in line for line in lines)


def test_the_slow_checks_come_last() -> None:
    values = doctor.read_arguments({"policy": "none", "headless": "true"})
    assert list(doctor.checks(values, []))[-1] is doctor_machine.pauses
