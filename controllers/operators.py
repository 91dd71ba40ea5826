"""Which teleop device has the robot, and the newest of what each says. Pure; times are ns of the ticks' clock."""

from __future__ import annotations

import numpy as np

from controllers.action_chunk import Refused

MS = 1_000_000  # ns
FUTURE_NS = 100 * MS  # an input's stamp may lead the newest tick by this (a tick and the clock's grain)
TELEOP_LEASE_NS = 300 * MS  # of teleop_action and rewind_action
STREAM_GAP_NS = 100 * MS  # two teleop actions no further apart are one movement of one device
HELD_NS = 2_000 * MS  # a device that has been silent for so long may be relieved by another
DEVICES = ("panel", "joy", "spacemouse", "leader_arm", "pose_stream", "keyboard", "webxr", "replay")
SOMEBODY = ""  # a take-over without a device's name: the first device that streams then has the robot


class Operators:
    """One has the robot at a time; the others are told who."""

    def __init__(self) -> None:
        self.device = SOMEBODY  # that has the robot, or had it last
        self.restart()

    def restart(self) -> None:
        """Another run of the world."""
        self._is_bound = False
        self._heard_ns = self._since_ns = -HELD_NS
        self._newest: dict[str, tuple[int, np.ndarray]] = {}

    def refusal(self, device: str, now_ns: int) -> str:
        """Why `device` may not take the robot from who has it; empty when it may."""
        if device == self.device or now_ns - self._heard_ns > HELD_NS:
            return ""
        who, since = self.device or "somebody", (now_ns - self._since_ns) / 1e9
        allowed = f"allowed when it hands back, or is silent for {HELD_NS / 1e9:.0f} s"
        return f"{who} has had the robot for {since:.1f} s; {allowed}"

    def take(self, device: str, now_ns: int) -> None:
        """`device` has the robot from now on."""
        self.device, self._is_bound = device, device != SOMEBODY
        self._heard_ns = self._since_ns = now_ns

    def hear(self, device: str, stamp_ns: int) -> None:
        """Something of the device that has the robot, or from now on has it.

        Raises:
            Refused: another one has the robot.
        """
        if not self._is_bound:
            self.device, self._is_bound = device, True
        elif device != self.device:
            has_it = self.device or "a device without a name"
            raise Refused(f"{device or 'a device without a name'} is not heard: {has_it} has the robot")
        self._heard_ns = max(self._heard_ns, stamp_ns)

    def streamed(self, device: str, stamp_ns: int, action: np.ndarray, now_ns: int) -> np.ndarray | None:
        """Keep the newest action (dim,) of `device`; the one before, if both belong to one movement.

        Raises:
            Refused: its stamp is not newer than the one before, stale, or of the future.
        """
        before = self._newest.get(device)
        self.check_stamp(stamp_ns, before[0] if before else -1, now_ns)
        self._newest[device] = stamp_ns, action
        return before[1] if before is not None and stamp_ns - before[0] <= STREAM_GAP_NS else None

    @staticmethod
    def check_stamp(stamp_ns: int, before_ns: int, now_ns: int) -> None:
        """Refuse what is not newer than `before_ns`, older than the lease, or of the future."""
        if stamp_ns <= before_ns:
            raise Refused(f"out of order: {stamp_ns} ns is not newer than {before_ns} ns")
        if stamp_ns > now_ns + FUTURE_NS:
            raise Refused(f"{stamp_ns} ns lies in the future of {now_ns} ns")
        if (age := now_ns - stamp_ns) > TELEOP_LEASE_NS:
            raise Refused(f"stale: {age / MS:.0f} ms old, allowed are {TELEOP_LEASE_NS / MS:.0f} ms")
