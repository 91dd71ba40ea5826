"""When a LowState was measured, on our clock: from its tick, a millisecond counter of the robot, and its arrival.

Arrivals jitter by what the network and this machine's scheduler add, which is never negative; ticks do not. The least
delay seen says how the two clocks lie, and may be forgotten slowly, since their crystals drift apart.
"""

from __future__ import annotations

MS = 1_000_000  # ns
LEAK = 100e-6  # s/s: faster than crystals drift, slow enough to keep the best delay of many seconds
JUMP_NS = 20 * MS  # the tick says that much else than the arrival: it has been set, or the robot has stood still
TRIAL_NS = 200 * MS  # a tick must have kept pace with our clock so long before it is believed
PACE = 0.1  # relative


class TickClock:
    """Stamps in ns, strictly rising."""

    def __init__(self) -> None:
        self._offset: float | None = None  # arrival minus tick, ns, at its least
        self._last_tick, self._last_ns = 0, -1
        self._first: tuple[int, int] = (0, 0)  # tick in ns and arrival where the trial began
        self.is_believed = False

    def stamp(self, tick: int, arrival_ns: int) -> int:
        """The stamp of a state with this `tick` that came at `arrival_ns`."""
        tick_ns = tick * MS
        advance = tick_ns - self._last_tick
        self._last_tick = tick_ns
        late = arrival_ns - tick_ns
        if self._offset is None or advance <= 0 or abs(late - self._offset) > JUMP_NS:
            self._offset, self._first, self.is_believed = float(late), (tick_ns, arrival_ns), False
        else:
            self._offset = min(self._offset + LEAK * advance, late)
            self._judge(tick_ns, arrival_ns)
        stamp = tick_ns + int(self._offset) if self.is_believed else arrival_ns
        self._last_ns = max(stamp, self._last_ns + 1)
        return self._last_ns

    def _judge(self, tick_ns: int, arrival_ns: int) -> None:
        """Believe the tick once it has kept pace; another unit would not."""
        if self.is_believed or arrival_ns - self._first[1] < TRIAL_NS:
            return
        pace = (tick_ns - self._first[0]) / (arrival_ns - self._first[1])
        self.is_believed = abs(pace - 1.0) < PACE
        self._first = tick_ns, arrival_ns
