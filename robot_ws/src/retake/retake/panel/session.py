"""Which browser drives the robot from this panel, and when its targets go out. Pure; times in s of one steady clock.

IDLE -> ASKED (take_over called) -> GRANTED (authority said yes) -> DRIVING (targets snapped to the robot, streaming)
-> REWINDING (along the robot's path, no targets) -> ASKED.
The dead-man: a driver's browser that closes, or answers nothing for `silence_s`, ends the session; the robot holds
because the stream stops, and goes on only when somebody takes over again.
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Where a session stands."""

    IDLE = "idle"
    ASKED = "asked"
    GRANTED = "granted"
    DRIVING = "driving"
    REWINDING = "rewinding"


GRANT_LEASE_S = 2.0  # from the service's yes to authority == teleop and a fresh pose; then the session ends


class TeleopSession:
    """At most one driver among the browsers of this panel."""

    def __init__(self, silence_s: float) -> None:
        self.driver: int | None = None  # viser client id
        self.phase = Phase.IDLE
        self._silence_s = silence_s
        self._heard = 0.0
        self._granted = 0.0

    def ask(self, client: int, now: float) -> str | None:
        """A browser wants to take over: None when it may ask authority, else why not."""
        if self.driver is not None and self.driver != client:
            return f"{browser(self.driver)} has it; it must hand back or close first"
        if self.phase not in (Phase.IDLE, Phase.REWINDING):
            return "this browser is already driving"
        self.driver, self.phase, self._heard = client, Phase.ASKED, now
        return None

    def answered(self, client: int, success: bool, now: float) -> None:
        """Authority's answer to the take_over of `client`."""
        if self.driver != client or self.phase is not Phase.ASKED:
            return
        if success:
            self.phase, self._granted, self._heard = Phase.GRANTED, now, now
        else:
            self.end()

    def hear(self, client: int, now: float) -> None:
        """The browser `client` is alive."""
        if client == self.driver:
            self._heard = now

    def end(self) -> None:
        """Nobody drives any more."""
        self.driver, self.phase = None, Phase.IDLE

    def is_driving(self, client: int | None) -> bool:
        """True when this browser's targets are streamed."""
        return self.phase is Phase.DRIVING and self.driver == client

    def is_rewinding(self, client: int | None) -> bool:
        """True when this browser moves the robot along its path."""
        return self.phase is Phase.REWINDING and self.driver == client

    @property
    def is_waiting(self) -> bool:
        """True while a granted session needs the robot's pose to start from."""
        return self.phase is Phase.GRANTED

    def update(self, authority: str, pose_is_fresh: bool, now: float) -> str | None:
        """Advance by what is known now; returns why the session ended, if it just did.

        The step from GRANTED to DRIVING happens here, in a call with `pose_is_fresh`: the caller snaps then.
        """
        reason = None
        if self.phase is Phase.IDLE:
            return None
        if self.phase is not Phase.ASKED and now - self._heard > self._silence_s:
            silent_s = now - self._heard
            reason = f"{browser(self.driver)} was silent for {silent_s:.1f} s: the robot holds; take over again"
        elif self.phase is Phase.DRIVING and authority == "rewind":
            self.phase = Phase.REWINDING
        elif self.phase is Phase.REWINDING and authority == "teleop":
            self.phase, self._granted = Phase.GRANTED, now
        elif self.phase in (Phase.DRIVING, Phase.REWINDING) and authority not in ("teleop", "rewind"):
            reason = f"teleoperation ended: authority is {authority}"
        elif self.phase is Phase.GRANTED:
            if authority == "teleop" and pose_is_fresh:
                self.phase = Phase.DRIVING
            elif now - self._granted > GRANT_LEASE_S:
                missing = "measured_action" if authority == "teleop" else f"authority teleop (it is {authority})"
                reason = f"take over was granted, but no {missing} arrived within {GRANT_LEASE_S:g} s"
        if reason is not None:
            self.end()
        return reason


def browser(client: int | None) -> str:
    """Name of a browser as the operators read it."""
    return "nobody" if client is None else f"browser {client + 1}"
