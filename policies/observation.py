"""From single messages to what a policy sees: one picture per camera and the state, all of one moment.

Stamps are int ns of the robot's clock. The moment is a frame of the first camera, once per inference period; the state
is the newest measured at or before it, as in the recordings that the policy learnt from.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

INFERENCE_PERIOD_NS = 396_000_000  # every sixth frame of a 66 ms camera
STATE_PERIOD_NS = 20_000_000
STATE_LEASE_NS = 5 * STATE_PERIOD_NS  # an older state says nothing about the frame
PAIRING_NS = 33_000_000  # half a camera period: pictures closer than this are of one moment
RESTART_NS = 500_000_000  # a state stamp that jumps further, or backwards, is another world


@dataclass(frozen=True)
class Observation:
    """JPEGs in the order of the cameras; state (n,) of stamp `state_stamp_ns`; `stamp_ns` is the first camera's."""

    stamp_ns: int
    jpegs: tuple[bytes, ...]
    state: np.ndarray
    state_stamp_ns: int


class ObservationPairing:
    """Collects messages; `add_*` return an observation when one is complete and due, once each."""

    def __init__(self, cameras: tuple[str, ...], lockstep: bool, period_ns: int = INFERENCE_PERIOD_NS) -> None:
        """`lockstep`: only frames on the inference grid, and exactly the state of the tick before; else the first frame
        of each inference period with what is newest."""
        self.cameras, self._lockstep, self._period_ns = cameras, lockstep, period_ns
        self._images: dict[str, deque[tuple[int, bytes]]] = {camera: deque(maxlen=5) for camera in cameras}
        self._states: deque[tuple[int, np.ndarray]] = deque(maxlen=100)
        self._pending_ns: int | None = None
        self._last_ns: int | None = None
        self.n_incomplete = 0  # due frames that the next due frame overtook
        self.n_restarts = 0

    @property
    def missing(self) -> tuple[str, ...]:
        """What the due frame still waits for; empty when none is due."""
        if self._pending_ns is None:
            return ()
        names = [f"camera {camera}" for camera in self.cameras if self._image_at(camera, self._pending_ns) is None]
        return (*names, *(() if self._state_at(self._pending_ns) else ("measured_action",)))

    def add_state(self, stamp_ns: int, state: np.ndarray) -> Observation | None:
        if self._states and not 0 <= stamp_ns - self._states[-1][0] <= RESTART_NS:
            self._restart(stamp_ns)
        self._states.append((stamp_ns, state))
        return self._complete()

    def add_image(self, camera: str, stamp_ns: int, jpeg: bytes) -> Observation | None:
        self._images[camera].append((stamp_ns, jpeg))
        if camera == self.cameras[0] and self._is_due(stamp_ns):
            self.n_incomplete += self._pending_ns is not None
            self._pending_ns = stamp_ns
        return self._complete()

    def _restart(self, stamp_ns: int) -> None:
        """Another world begins at `stamp_ns`: forget the old one. The new one's first pictures may be here already."""
        self._states.clear()
        begin, end = stamp_ns - STATE_PERIOD_NS, stamp_ns + RESTART_NS
        for camera, images in self._images.items():
            kept = [image for image in images if begin <= image[0] <= end]
            self._images[camera] = deque(kept, maxlen=images.maxlen)
        if self._pending_ns is not None and not begin <= self._pending_ns <= end:
            self._pending_ns = None
        self._last_ns = None
        self.n_restarts += 1

    def _is_due(self, stamp_ns: int) -> bool:
        if self._lockstep:
            return stamp_ns % self._period_ns == 0
        newest = max((s for s in (self._pending_ns, self._last_ns) if s is not None), default=None)
        return newest is None or stamp_ns // self._period_ns != newest // self._period_ns

    def _complete(self) -> Observation | None:
        stamp_ns = self._pending_ns
        if stamp_ns is None:
            return None
        state = self._state_at(stamp_ns)
        found = (self._image_at(camera, stamp_ns) for camera in self.cameras)
        jpegs = tuple(jpeg for jpeg in found if jpeg is not None)
        if state is None or len(jpegs) < len(self.cameras):
            return None
        self._pending_ns, self._last_ns = None, stamp_ns
        return Observation(stamp_ns, jpegs, state[1], state[0])

    def _image_at(self, camera: str, stamp_ns: int) -> bytes | None:
        """The picture nearest to the moment, if it is of that moment."""
        images = self._images[camera]
        nearest = min(images, key=lambda image: abs(image[0] - stamp_ns), default=None)
        tolerance = 0 if self._lockstep else PAIRING_NS
        return nearest[1] if nearest is not None and abs(nearest[0] - stamp_ns) <= tolerance else None

    def _state_at(self, stamp_ns: int) -> tuple[int, np.ndarray] | None:
        """The newest state at or before the moment, if it is fresh; in lockstep exactly that of the last tick."""
        lease = stamp_ns % STATE_PERIOD_NS if self._lockstep else STATE_LEASE_NS
        for state_ns, state in reversed(self._states):
            if state_ns <= stamp_ns:
                return (state_ns, state) if stamp_ns - state_ns <= lease else None
        return None
