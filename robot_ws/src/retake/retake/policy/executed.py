"""What the authority has really executed: `reference` and `provenance` (STREAM), joined by their stamps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import Rig
from policies.executed import Executed
from policies.observation import RESTART_NS
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics

KEPT_S = 2.0  # longer than any observation waits for its chunk


class ExecutedReferences:
    """The newest ones. The executor's thread adds, any thread reads."""

    def __init__(self, node: Node, rig: Rig, diagnostics: Diagnostics, on_tick: Callable[[], None]) -> None:
        """`on_tick` is called, in the executor's thread, after each that was added."""
        self._rig, self._diagnostics, self._on_tick = rig, diagnostics, on_tick
        self._lock = threading.Lock()
        self._ticks: deque[tuple[int, np.ndarray, int]] = deque(maxlen=round(KEPT_S / rig.reference_dt))
        self._reference: tuple[int, np.ndarray] | None = None  # the newest, and the newest provenance
        self._chunk: tuple[int, int] | None = None
        self._is_new = False  # the ticks of a new world have begun before `restart` told of it
        node.create_subscription(JointTrajectory, "reference", self._on_reference, qos.STREAM)
        node.create_subscription(DiagnosticStatus, "provenance", self._on_provenance, qos.STREAM)

    def restart(self) -> None:
        """The states say that the world began anew. Worlds begin at equal stamps, and the ticks of the new one may be
        here before or after its first state: whichever comes first ends the old one."""
        with self._lock:
            if not self._is_new:
                self._ticks.clear()
            self._is_new = False

    def has(self, stamp_ns: int) -> bool:
        """True when the tick of that stamp is here."""
        with self._lock:
            return any(tick[0] == stamp_ns for tick in self._ticks)

    def upto(self, stamp_ns: int | None = None) -> Executed:
        """Those until then; all without a stamp."""
        with self._lock:
            ticks = [tick for tick in self._ticks if stamp_ns is None or tick[0] <= stamp_ns]
        return Executed(np.array([tick[0] for tick in ticks], np.int64),
                        np.array([tick[1] for tick in ticks]).reshape(len(ticks), self._rig.layout.dim),
                        np.array([tick[2] for tick in ticks], np.int64))

    def _on_reference(self, message: JointTrajectory) -> None:
        try:
            reference = conversions.action_from(message, self._rig)
        except ValueError as error:
            return self._diagnostics.refuse("reference", str(error))
        self._reference = conversions.stamp_ns(message.header.stamp), reference
        self._join()

    def _on_provenance(self, message: DiagnosticStatus) -> None:
        said = {pair.key: pair.value for pair in message.values}
        try:
            self._chunk = int(said["stamp_ns"]), int(said["chunk_stamp_ns"])
        except (KeyError, ValueError) as error:
            return self._diagnostics.refuse("provenance", f"it lacks or garbles {error}; allowed: the authority's own")
        self._join()

    def _join(self) -> None:
        if self._reference is None or self._chunk is None or self._reference[0] != self._chunk[0]:
            return
        stamp_ns = self._reference[0]
        with self._lock:
            if self._ticks and not 0 < stamp_ns - self._ticks[-1][0] <= RESTART_NS:
                self._ticks.clear()
                self._is_new = True
            self._ticks.append((*self._reference, self._chunk[1]))
        self._on_tick()
