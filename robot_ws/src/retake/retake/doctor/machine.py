"""`retake doctor`'s checks of the machine itself: clock, processor time, disk, network interface, CAN bus. No ROS."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from retake.doctor.finding import Finding, bad, good, note
from retake.errors import UserError

NET, CPU = Path("/sys/class/net"), Path("/sys/devices/system/cpu")
PROBE_MB, DISK_MIN_MB_S = 64, 20.0  # three cameras and all joints at their rates write 13 MB/s
WATCH_S, PAUSE_MAX_S, STOLEN_MAX = 2.0, 0.02, 0.02  # a control step has 2 ms, a command's lease 100 ms
PRIORITY = 1  # what the check takes for itself
CAN_TYPE, UP_FLAG = 280, 1  # linux/if_arp.h, linux/if.h
_CLOCK_UNSYNCHRONISED, _TIMEX_BYTES, _STATUS_OFFSET = 0x40, 256, 40  # linux/timex.h


def refused(name: str, check: Callable[[], None], seen: str) -> Finding:
    """A check that raises UserError, as a finding; `seen` when it does not."""
    try:
        check()
    except UserError as error:
        return bad(name, str(error))
    return good(name, seen)


def clock() -> Finding:
    """Whether something keeps this machine's clock right: stamps of several machines must agree."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
        return note("clock", f"cannot be asked ({os.strerror(ctypes.get_errno())})", "see timedatectl")
    (status,) = struct.unpack_from("i", timex, _STATUS_OFFSET)
    if status & _CLOCK_UNSYNCHRONISED:
        return note("clock", "not synchronised", "apt install chrony; needed as soon as a second machine takes part")
    return good("clock", "synchronised")


def priority() -> Finding:
    """Whether control nodes may come before other programs (retake.ros.realtime)."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return note("priority", "real-time priority is not permitted", "add '@realtime - rtprio 50' to "
                    "/etc/security/limits.d/retake.conf, sudo groupadd -f realtime, "
                    "sudo usermod -aG realtime $USER, and log in again")
    os.sched_setscheduler(0, *before)
    return good("priority", "real-time priority is permitted")


def pauses(seconds: float = WATCH_S) -> list[Finding]:
    """The longest time that a program which sleeps 1 ms does not run, at the priority that control nodes get."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        pass  # `priority` says so; the pauses are then those of an ordinary program
    stolen_before, longest, begin = stolen_s(), 0.0, time.perf_counter()
    now = begin
    while now - begin < seconds:
        time.sleep(0.001)
        last, now = now, time.perf_counter()
        longest = max(longest, now - last - 0.001)
    os.sched_setscheduler(0, *before)
    stolen = (stolen_s() - stolen_before) / (now - begin) / (os.cpu_count() or 1)
    text = f"longest {longest * 1e3:.1f} ms in {seconds:.0f} s"
    found = [good("pauses", text) if longest < PAUSE_MAX_S else
             note("pauses", text, "end other programs, or use a real-time kernel; above 100 ms the motors damp")]
    if stolen > STOLEN_MAX:
        found.append(note("host", f"took {stolen:.0%} of this virtual machine's processors",
                          "run a robot on a machine of its own"))
    return found


def stolen_s() -> float:
    """CPU seconds that a virtual machine's host took from it since its start; 0 on a machine of its own."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def governor(root: Path = CPU) -> Finding:
    """Whether the processors wait in a slow gear."""
    files = sorted(root.glob("cpu[0-9]*/cpufreq/scaling_governor"))
    slow = [file.parents[1].name for file in files if file.read_text().strip() != "performance"]
    if slow:
        return note("governor", f"{len(slow)} of {len(files)} processors are not set to performance",
                    "sudo cpupower frequency-set -g performance")
    return good("governor", "performance" if files else "none here")


def disk(root: Path) -> Finding:
    """How fast recordings can be written, with the disk's own cache emptied."""
    probe = root / ".speed"
    block = os.urandom(1 << 20)
    try:
        root.mkdir(parents=True, exist_ok=True)
        begin = time.perf_counter()
        with probe.open("wb") as file:
            for _ in range(PROBE_MB):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        speed = PROBE_MB / (time.perf_counter() - begin)
    except OSError as error:
        return bad("disk", f"cannot write to {root} ({error.strerror})", "choose another with root:=FOLDER")
    finally:
        if probe.exists():
            probe.unlink()
    text = f"{speed:.0f} MB/s, {shutil.disk_usage(root).free / 1e9:.0f} GB free at {root}"
    if speed < DISK_MIN_MB_S:
        return bad("disk", text, f"three cameras want {DISK_MIN_MB_S:.0f} MB/s; choose another disk with root:=FOLDER")
    return good("disk", text)


def interface(name: str, root: Path = NET) -> Finding:
    """The network interface to the robot: there, switched on, with a cable in."""
    here = sorted(path.name for path in root.iterdir())
    if name not in here:
        return bad("interface", f"{'no ' + name if name else 'none is named'}; here are: {', '.join(here)}",
                   "name the one with the robot's cable: interface:=NAME")
    if not _flags(root / name) & UP_FLAG:
        return bad("interface", f"{name} is switched off", f"sudo ip link set {name} up")
    if (root / name / "carrier").read_text().strip() != "1":
        return bad("interface", f"{name} has no carrier", "plug the cable in at both ends; is the robot on?")
    return good("interface", f"{name} is up")


def can(name: str, root: Path = NET) -> Finding:
    """A CAN bus: there, switched on, and not given up on after errors."""
    buses = sorted(p.name for p in root.iterdir() if (p / "type").read_text().strip() == str(CAN_TYPE))
    if name not in buses:
        return bad("can", f"no CAN bus {name}; here are: {', '.join(buses) or 'none'}",
                   "plug the adapter in (gs_usb: no driver needed), or name another bus")
    if not _flags(root / name) & UP_FLAG:
        return bad("can", f"{name} is switched off", f"sudo ip link set {name} up type can bitrate 1000000")
    told = subprocess.run(["ip", "-details", "-json", "link", "show", name], capture_output=True, text=True)
    state = can_state(told.stdout)
    if state in ("BUS-OFF", "ERROR-PASSIVE"):
        return bad("can", f"{name} is {state}", "look at power, wiring and the 120 ohm resistors at both ends, then: "
                   f"sudo ip link set {name} down; sudo ip link set {name} up")
    return good("can", f"{name} is up, {state}")


def can_state(details: str) -> str:
    """The controller's state in what `ip -details -json link show` says, lower case where it does not say."""
    try:
        return str(json.loads(details)[0]["linkinfo"]["info_data"]["state"])
    except (ValueError, LookupError, TypeError):
        return "state unknown"


def _flags(path: Path) -> int:
    return int((path / "flags").read_text(), 16)
