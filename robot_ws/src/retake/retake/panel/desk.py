"""What the panel does with what people do: events in, service calls and one action out. No ROS.

Everything here runs in the executor's thread; browsers reach it through the event queue only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

import numpy as np
import viser

from controllers.rigs import Rig
from retake.panel.page import BUTTONS, SWITCHES, Drag, Page, UserEvent
from retake.panel.session import Phase, TeleopSession, browser
from retake.panel.status import Status
from retake.panel.targets import TeleopTargets

HEARTBEAT_S = 0.3
HOLD_S = 0.15  # a held button says so 20 times a second; after so long without it has been let go
NEW_HOLD_S = 0.5
Call = Callable[[str, Callable[[bool, str, float], None]], None]  # service, answered(success, text, now)


class Desk:
    """Pages of all browsers, the one teleoperation session and its targets."""

    def __init__(self, events: SimpleQueue[UserEvent], silence_s: float, call: Call, rig: Rig,
                 residual: bool = False) -> None:
        """`residual`: there is one to switch."""
        self._rig, self._residual = rig, residual
        self.session = TeleopSession(silence_s)
        self.targets = TeleopTargets(rig)
        self.pages: dict[int, Page] = {}
        self._events = events
        self._call = call
        self._dragged = ""
        self._held: tuple[float, float] = (0.0, 0.0)  # speed along the path, and when it was last said, s
        self._heartbeat = Heartbeat(events, silence_s)

    @property
    def action(self) -> np.ndarray | None:
        """The action (dim,) to stream now, None when nobody drives."""
        return self.targets.action if self.session.is_driving(self.session.driver) else None

    def path_speed(self, now: float) -> float | None:
        """How fast to go along the robot's path now, -1 back to 1 forward; None while no button is held."""
        speed, at = self._held
        is_held = self.session.is_rewinding(self.session.driver) and now - at < HOLD_S
        return speed if is_held else None

    @property
    def driver_name(self) -> str:
        """Name of the browser that drives, "" when none does."""
        drives = self.session.phase in (Phase.DRIVING, Phase.REWINDING)
        return browser(self.session.driver) if drives else ""

    def drain(self, now: float) -> None:
        """Act on everything the browsers sent since the last call; `now` in s, steady."""
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                return
            self.session.hear(event.client, now)
            if event.kind == "connect":
                self.pages[event.client] = Page(event.value, self._events, self._rig, self._residual)
            elif event.kind == "disconnect":
                self._leave(event.client)
            elif event.client in self.pages:
                self._act(self.pages[event.client], event, now)

    def update(self, authority: str, measured_action: np.ndarray | None, now: float) -> None:
        """Advance the session; `measured_action` (dim,) only when it is fresh."""
        was_driving = self.action is not None
        ended = self.session.update(authority, measured_action is not None, now)
        if ended:
            self._end(ended, good=authority in ("policy", "none"))
        elif not was_driving and self.action is not None and measured_action is not None:
            self.targets.snap(measured_action)
            self._dragged = ""
            self._show_targets()

    def show(self, status: Callable[[str], Status]) -> None:
        """Show the status to every browser; `status` makes it for a browser's name."""
        for client, page in self.pages.items():
            page.show_status(status(browser(client)))

    def _act(self, page: Page, event: UserEvent, now: float) -> None:
        if event.kind in BUTTONS or event.kind in SWITCHES:
            self._command(page, event.client, event.kind, now)
        elif event.kind == "select":
            page.select(event.value)
        elif event.kind == "hold":
            self._hold(page, event, now)
        elif self.session.is_driving(event.client):
            self._move(page, event)

    def _command(self, page: Page, client: int, command: str, now: float) -> None:
        refused = None
        if command == "stop":
            if self.session.driver is not None:
                self._end("stop", good=None)  # the stream ends here and now, whatever authority answers
        elif command == "take_over":
            refused = self.session.ask(client, now)
        elif command == "hand_back" and self.session.driver not in (None, client):
            refused = f"{browser(self.session.driver)} drives: only it can hand back"
        elif command == "rewind" and not self.session.is_rewinding(client):
            refused = "Open hand: not on the way back; hold Rewind first, until it says that a hand was closed there"
        if refused is not None:
            page.show_answer(refused, False)
            return
        label = (BUTTONS.get(command) or SWITCHES[command])[0]
        page.show_answer(f"{label} ...", None)

        def answered(success: bool, text: str, when: float) -> None:
            if command == "take_over":
                self.session.answered(client, success, when)
                self._heartbeat.watch(page.client if success else None)
            page.show_answer(f"{label}: {text}", success)
            if command == "stop":
                for other in self.pages.values():
                    if other is not page:
                        other.show_answer(f"{label} ({browser(client)}): {text}", success)

        self._call(command, answered)

    def _hold(self, page: Page, event: UserEvent, now: float) -> None:
        """A button for the way along the robot's path is held."""
        begins, self._held = now - self._held[1] > NEW_HOLD_S, (event.value, now)
        if self.session.is_rewinding(event.client) or not begins:
            return
        if not self.session.is_driving(event.client):
            page.show_answer("Rewind: take over first", False)
            return
        self._call("rewind", lambda success, text, _: page.show_answer(f"Rewind: {text}", success))

    def _move(self, page: Page, event: UserEvent) -> None:
        if event.kind == "drag":
            drag: Drag = event.value
            self.targets.place(drag.side, drag.position, drag.quat_xyzw)
            self._dragged = "" if drag.phase == "end" else drag.side
        elif event.kind == "nudge":
            self.targets.nudge(page.selected, event.value)
        elif event.kind == "channel":
            self.targets.set_channel(*event.value)
        elif event.kind == "step":
            channel, step = event.value
            self.targets.set_channel(channel, self.targets.channel(channel) + step)
        self._show_targets()

    def _leave(self, client: int) -> None:
        self.pages.pop(client, None)
        if self.session.driver == client:
            self._end(f"{browser(client)} closed while driving: the robot holds", good=False)

    def _end(self, reason: str, good: bool | None) -> None:
        self.session.end()
        self._heartbeat.watch(None)
        self._show_targets()
        for page in self.pages.values():
            page.show_answer(reason, good)

    def _show_targets(self) -> None:
        for client, page in self.pages.items():
            page.show_targets(self.targets if self.session.is_driving(client) else None, self._dragged)


class Heartbeat(threading.Thread):
    """Asks the driver's browser for a sign of life: viser notices a cable pulled out only after 40 s.

    Reads `_client`, which the executor's thread writes; its only output is an `alive` event in the queue.
    """

    def __init__(self, events: SimpleQueue[UserEvent], patience_s: float) -> None:
        super().__init__(name="panel_heartbeat", daemon=True)
        self._events = events
        self._patience_s = patience_s
        self._client: viser.ClientHandle | None = None
        self._wake = threading.Event()
        self.start()

    def watch(self, client: viser.ClientHandle | None) -> None:
        """Ask this browser from now on; None asks nobody."""
        self._client = client
        if client is not None:
            self._wake.set()

    def run(self) -> None:
        """Ask, report, rest."""
        while True:
            client = self._client
            if client is None:
                self._wake.wait()
                self._wake.clear()
                continue
            try:  # the page's script answers, so a frozen tab is silent too
                client.local_storage.get_item("retake", timeout=self._patience_s)
                self._events.put(UserEvent(client.client_id, "alive"))
            except (TimeoutError, RuntimeError):  # silent or gone: the session hears nothing and ends
                pass
            threading.Event().wait(HEARTBEAT_S)
