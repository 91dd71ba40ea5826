"""`retake doctor`'s checks of what is plugged in: cameras and the G1. SDKs are imported only when they are asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from retake.cameras.choice import CameraChoice
from retake.cameras.station import CameraGone, Device, read_devices
from retake.doctor.finding import Finding, bad, good, note
from retake.errors import UserError
from retake.unitree import checks as unitree_checks

MODE = (640, 480, 30)
RATE_MIN = 0.95  # of the mode's
LISTEN_S = 3.0  # from the robot's first state on
DISCOVERY_S = 5.0  # at most until then: two DDS participants need a second or two to find each other
STATES_MIN_HZ = 400.0  # of 500
RIVAL_TOPICS = ("rt/lowcmd", "rt/arm_sdk")


def cameras(choices: Sequence[CameraChoice], seconds: float) -> list[Finding]:
    """Frame rate and losses of each camera that is named; what is plugged in where none is."""
    named = [choice for choice in choices if choice.kind != "replay"]
    if not named:
        return [attached()]
    found = []
    for choice in named:
        try:
            devices = _realsense(choice.told) if choice.node == "camera_realsense" else _v4l2(choice.told)
        except UserError as error:
            found.append(bad("camera", str(error)))
            continue
        found += [stream(name, device, seconds) for name, device in devices.items()]
    return found


def attached() -> Finding:
    """The cameras that this machine sees."""
    try:
        from retake.cameras.realsense_device import Attached

        serials = ", ".join(Attached().serials) or "none"
    except ImportError:
        serials = "cannot say without pyrealsense2"
    paths = ", ".join(sorted(str(path) for path in Path("/dev/v4l/by-id").glob("*"))) or "none"
    return good("cameras", f"none named with cameras:=; RealSense here: {serials}; V4L2 here: {paths}")


def stream(name: str, device: Device, seconds: float, fps: int = MODE[2]) -> Finding:
    """Frame rate and losses of one camera over so many seconds, the first frame not counted."""
    what = f"camera {name}"
    try:
        device.open()
        last = device.read()  # the first may take a while
        begin, frames, lost = time.monotonic(), 0, 0
        while time.monotonic() < begin + seconds:
            frame = device.read()
            lost += max(0, frame.number - last.number - 1)
            frames, last = frames + 1, frame
        rate = frames / (time.monotonic() - begin)
    except (UserError, CameraGone) as error:
        return bad(what, str(error))
    finally:
        device.close()
    text = f"{rate:.1f} Hz, {lost} of {frames + lost} frames lost in {seconds:.0f} s"
    if lost or rate < RATE_MIN * fps:
        return bad(what, text, f"it should be {fps} Hz without loss; give it a USB 3 port of its own and a shorter "
                   "cable, and more light if it lowers its rate by itself")
    return good(what, text)


def _realsense(told: str) -> dict[str, Device]:
    try:
        from retake.cameras.realsense_device import Attached, RealSenseDevice
    except ImportError:
        remedy = "pip install 'retake[hardware]', on ARM build librealsense"
        raise UserError(f"pyrealsense2 is not installed; {remedy}") from None
    here = Attached()
    return {name: RealSenseDevice(here, serial, MODE, depth=False)
            for name, serial in read_devices(told, "SERIAL").items()}


def _v4l2(told: str) -> dict[str, Device]:
    from retake.cameras.v4l2_device import V4l2Device, calibration, open_v4l2

    return {name: V4l2Device(path, MODE, calibration(None, MODE), open_v4l2)
            for name, path in read_devices(told, "PATH").items()}


def g1(
    interface: str, domain: int = 0, seconds: float = LISTEN_S, patience_s: float = DISCOVERY_S
) -> list[Finding]:
    """What the G1 says of itself on its own wire in so many seconds from its first state on, for which `patience_s` are
    waited; nothing is sent to it."""
    try:
        from retake.unitree.dds import Bus
        from retake.unitree.idl import LowCmd_, LowState_
        from retake.unitree.wire import WireError, decode_state
    except ImportError as error:
        return [bad("robot", f"{error.name} is not installed", "pip install 'retake[hardware]'")]
    try:
        bus = Bus(domain, interface)
    except UserError as error:
        return [bad("robot", str(error))]
    states = bus.reader("rt/lowstate", LowState_, depth=64)
    commands = {topic: bus.reader(topic, LowCmd_) for topic in RIVAL_TOPICS}
    count, record, refused, first = 0, None, "", 0.0
    rivals: set[str] = set()
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        bus.wait(0.01)
        for data in states.take(64):
            try:
                record, count = decode_state(data), count + 1
                if not first:
                    first = time.monotonic()
                    end = first + seconds
            except WireError as error:
                refused = str(error)
        rivals |= {topic for topic, reader in commands.items() if reader.take()}
    if record is None:
        return [bad("robot", refused or f"nothing on rt/lowstate in {patience_s:.0f} s on {interface} ({bus.address})",
                    "is it on, is its cable in, is your address in 192.168.123.0/24?")]
    rate = count / max(end - first, 0.01)
    found = [good("robot", f"{rate:.0f} states a second, hottest {unitree_checks.hottest_joint(record)}")
             if rate >= STATES_MIN_HZ else
             note("robot", f"{rate:.0f} states a second, it sends 500", "use a cable, not Wi-Fi; see `pauses`")]
    if problem := unitree_checks.state_problem(record):
        found.append(bad("joints", problem))
    found += [bad("rival", f"another program writes {topic}", "end it: only one may command the robot")
              for topic in sorted(rivals)]
    return found
