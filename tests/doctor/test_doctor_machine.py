"""Checks of the machine, on conditions that can be made here: this machine's own, files laid out as the kernel's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retake.doctor import machine
from retake.doctor.finding import Level
from retake.errors import UserError

CAN = '[{"ifname":"can0","linkinfo":{"info_kind":"can","info_data":{"state":"%s","bittiming":{"bitrate":1000000}}}}]'


def lay_out(root: Path, name: str, flags: int = 0x1003, carrier: str = "1", kind: int = 1) -> None:
    """A network interface as /sys/class/net shows it."""
    (root / name).mkdir(parents=True)
    for file, text in (("flags", hex(flags)), ("carrier", carrier), ("type", str(kind))):
        (root / name / file).write_text(text + "\n")


def test_the_loopback_interface_is_up_and_another_is_not_there() -> None:
    assert machine.interface("lo").level is Level.GOOD
    missing = machine.interface("enp99s0")
    assert missing.level is Level.BAD and "no enp99s0; here are: " in missing.seen and "lo" in missing.seen


def test_an_interface_without_cable_or_switched_off(tmp_path: Path) -> None:
    lay_out(tmp_path, "eth0", carrier="0")
    lay_out(tmp_path, "eth1", flags=0x1002)
    assert "plug the cable in" in machine.interface("eth0", tmp_path).remedy
    assert machine.interface("eth1", tmp_path).remedy == "sudo ip link set eth1 up"


def test_can_buses_by_name() -> None:
    found = machine.can("can7")
    assert found.level is Level.BAD and found.seen.startswith("no CAN bus can7; here are: ")
    assert machine.can("lo").level is Level.BAD  # there, but no CAN bus


def test_a_can_bus_that_is_off_says_how_to_switch_it_on(tmp_path: Path) -> None:
    lay_out(tmp_path, "can0", flags=0x80, kind=machine.CAN_TYPE)
    found = machine.can("can0", tmp_path)
    assert found.level is Level.BAD and "bitrate 1000000" in found.remedy


@pytest.mark.parametrize("state", ["ERROR-ACTIVE", "ERROR-PASSIVE", "BUS-OFF"])
def test_the_state_of_a_can_controller_is_read(state: str) -> None:
    assert machine.can_state(CAN % state) == state
    assert machine.can_state("") == machine.can_state('[{"ifname": "lo"}]') == "state unknown"


def test_disk_speed_is_measured_and_leaves_nothing(tmp_path: Path) -> None:
    found = machine.disk(tmp_path / "episodes")
    assert "MB/s" in found.seen and not list((tmp_path / "episodes").iterdir())


def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = machine.disk(tmp_path / "file" / "episodes")
    assert found.level is Level.BAD and "choose another" in found.remedy


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    code = ("import resource, sys; from pathlib import Path; from retake.doctor.machine import disk;"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, 1 << 22)); print(disk(Path(sys.argv[1])).line())")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.startswith("BAD  disk        cannot write to") and not list(tmp_path.iterdir()), done.stderr


def test_clock_and_priority_answer_and_priority_is_given_back() -> None:
    assert machine.clock().level in (Level.GOOD, Level.NOTE)
    before = os.sched_getscheduler(0)
    found = machine.priority()
    assert os.sched_getscheduler(0) == before
    assert (found.level is Level.GOOD) == ("is permitted" in found.seen)


def test_without_the_permission_the_remedy_is_told() -> None:
    code = "from retake.doctor.machine import priority; print(priority().line())"
    drop = "import os; os.setgid(65534); os.setuid(65534);" if os.getuid() == 0 else ""
    import_first = "import retake.doctor.machine;"
    done = subprocess.run([sys.executable, "-c", import_first + drop + code], capture_output=True, text=True)
    if "is permitted" not in done.stdout:  # a user may have been given it
        assert "rtprio 50" in done.stdout, done.stderr


def test_pauses_see_a_program_that_does_not_let_others_run() -> None:
    found = machine.pauses(0.2)
    assert found[0].name == "pauses" and "longest" in found[0].seen
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_governors(tmp_path: Path) -> None:
    assert machine.governor(tmp_path).seen == "none here"
    for number, text in enumerate(("performance", "powersave")):
        folder = tmp_path / f"cpu{number}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(text + "\n")
    found = machine.governor(tmp_path)
    assert found.level is Level.NOTE and found.seen.startswith("1 of 2")


def test_a_refusal_becomes_a_line_with_its_remedy() -> None:
    def refuse() -> None:
        raise UserError("port 8080 is taken; write port:=NUMBER")

    assert machine.refused("panel", refuse, "ready").line() == "BAD  panel       port 8080 is taken; write port:=NUMBER"
    assert machine.refused("panel", lambda: None, "ready").line() == "ok   panel       ready"
