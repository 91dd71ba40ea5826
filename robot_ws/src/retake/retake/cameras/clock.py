"""A camera's own clock on the clock of the robot. Pure.

A frame arrives later than it was taken, by at least the fastest way it ever came. The clocks' difference is therefore
taken from the least delayed frame so far, and follows a camera whose clock runs faster or slower by at most DRIFT. The
stamp is right up to that least delay, which the camera does not tell (a few ms over USB), and is free of the jitter
with which frames arrive.
"""

from __future__ import annotations

DRIFT = 200e-6  # s per s; quartz clocks differ by less than 100e-6
HOST_NS = 500_000_000  # a camera whose clock is nearer than this to ours tells our time
NS_PER_MS = 1_000_000


class CameraClock:
    """Stamps for the frames of one camera, in ns of the clock `arrived_ns` is from."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None  # ours minus the camera's, by the least delayed frame
        self._taken_ns = self._stamp_ns = -1  # of the frame before, on the camera's clock and on ours

    def stamp_ns(self, taken_ms: float, arrived_ns: int, is_host_time: bool = False) -> int:
        """When the frame was taken; later than the one before, never later than it arrived.

        Args:
            taken_ms: what the camera says, from any beginning.
            arrived_ns: when the frame came.
            is_host_time: the camera's driver says that `taken_ms` is this machine's time; believed within HOST_NS.
        """
        taken_ns = round(taken_ms * NS_PER_MS)
        if is_host_time and abs(arrived_ns - taken_ns) < HOST_NS:
            offset = 0
        else:
            offset = self._follow(taken_ns, arrived_ns)
        self._taken_ns = taken_ns
        self._stamp_ns = max(min(taken_ns + offset, arrived_ns), self._stamp_ns + 1)
        return self._stamp_ns

    def _follow(self, taken_ns: int, arrived_ns: int) -> int:
        seen = arrived_ns - taken_ns
        passed = taken_ns - self._taken_ns
        if self._offset_ns is None or passed <= 0:  # the first, or the camera's clock began anew
            self._offset_ns = seen
        else:
            self._offset_ns = min(self._offset_ns + round(passed * DRIFT), seen)
        return self._offset_ns
