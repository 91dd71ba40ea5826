"""body:=stock: base height and velocity of the reference, as calls to the firmware's locomotion service."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from retake.unitree import rpc

PERIOD_S = 0.1  # between calls
LEASE_S = 0.2  # a reference older than this moves nothing
VELOCITY_S = 0.5  # how long the firmware keeps a velocity that is not repeated
HEIGHT_STEP = 0.005  # m: a smaller change is not worth a call
VELOCITY = ("base.vx", "base.vy", "base.wz")
HEIGHT = "base.height"
SPEED_MAX = (0.6, 0.3, 0.8)  # m/s, m/s, rad/s; `ours`: a pace that a person keeps up with

Ask = Callable[[int, dict], None]


class Walk:
    """Turns references into calls; `ask(api, parameters)` sends one without waiting."""

    def __init__(self, ask: Ask, has_height: bool) -> None:
        """`has_height`: the firmware's stand height is the pelvis height in metres; else it is left alone."""
        self._ask, self._has_height = ask, has_height
        self._height: float | None = None  # newest asked for
        self._sent: float | None = None
        self._velocity = (0.0, 0.0, 0.0)
        self._at_s = -math.inf
        self._called_s = -math.inf
        self._moves = False

    def on_reference(self, channels: Mapping[str, float], now_s: float) -> None:
        """The newest reference, by channel; those that are not there stay as they are."""
        self._at_s = now_s
        if HEIGHT in channels:
            self._height = channels[HEIGHT]
        wanted = (channels.get(name, 0.0) for name in VELOCITY)
        x, y, z = (min(max(v, -top), top) for v, top in zip(wanted, SPEED_MAX, strict=True))
        self._velocity = x, y, z

    def step(self, now_s: float, is_active: bool) -> None:
        """Call what is due; not active or no fresh reference: stand still."""
        if now_s - self._called_s < PERIOD_S:
            return
        is_fresh = is_active and now_s - self._at_s <= LEASE_S
        velocity = self._velocity if is_fresh else (0.0, 0.0, 0.0)
        moves = any(velocity)
        if moves or self._moves:
            self._called_s, self._moves = now_s, moves
            self._ask(rpc.SET_VELOCITY, {"velocity": list(velocity), "duration": VELOCITY_S})
        height = self._height
        if not (is_fresh and self._has_height) or height is None:
            return
        if self._sent is None or abs(height - self._sent) >= HEIGHT_STEP:
            self._called_s, self._sent = now_s, height
            self._ask(rpc.SET_STAND_HEIGHT, {"data": height})
