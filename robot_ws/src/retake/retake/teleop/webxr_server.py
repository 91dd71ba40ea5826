"""HTTP and WebSocket for one headset, in a thread of its own: the page out, frames in, the state back at 10 Hz.

Nobody gets in without the token (or, on loopback, from another page). One headset at a time. A connection that is half
open is found by the frames that stop at once, and by pings that are not answered within 2 s.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from policies.websocket_thread import WebsocketThread
from retake.panel.gate import refusal
from retake.teleop.webxr_frame import MAX_BYTES, Frame, parse

TELL_S = 0.1
PING_S, PONG_S = 1.0, 1.0
QUIET_S = 1.0  # a headset that has said nothing for so long gives way to another one
PER_SECOND = 250  # messages; headsets draw at most 120 frames
BAD_IN_A_ROW = 20
POLICY_VIOLATION, TRY_LATER = 1008, 1013
HEADERS = {
    "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                               "connect-src 'self'; frame-ancestors 'none'",
}  # fmt: skip


class HeadsetServer(WebsocketThread):
    """Writes `heard` and `refused`; reads `state`, which the node's thread writes."""

    def __init__(self, host: str, port: int, token: str, page: str, tls: ssl.SSLContext | None) -> None:
        super().__init__("webxr", host, port, ssl=tls, max_size=MAX_BYTES, max_queue=32, ping_interval=PING_S,
                         ping_timeout=PONG_S)
        self._token, self._page = token, page
        self.heard: SimpleQueue[tuple[float, Frame | str]] = SimpleQueue()  # arrival, s of the steady clock
        self.refused: SimpleQueue[str] = SimpleQueue()
        self.state: dict[str, Any] = {}
        self._current: ServerConnection | None = None
        self._heard_at = 0.0
        self._newest: tuple[float, float] | None = None  # the headset's time of the newest frame, ms; its arrival

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The page, a refusal, or None: go on with the WebSocket."""
        reason = refusal(request.path, request.headers, self._token)
        if reason is not None:
            return connection.respond(HTTPStatus.FORBIDDEN, f"{reason}; open the address that the node printed\n")
        path = urlsplit(request.path).path
        if path == "/ws":
            return None
        if path != "/":
            return connection.respond(HTTPStatus.NOT_FOUND, "nothing here\n")
        response = connection.respond(HTTPStatus.OK, self._page)
        del response.headers["Content-Type"]  # plain text
        response.headers.update(HEADERS)
        return response

    async def converse(self, socket: ServerConnection) -> None:
        before = self._current
        if before is not None:
            if time.monotonic() - self._heard_at < QUIET_S:
                await socket.close(TRY_LATER, "another headset is connected; close its page first")
                return
            before.transport.abort()
        self._current, self._newest, self._heard_at = socket, None, time.monotonic()
        teller = asyncio.create_task(self._tell(socket))
        try:
            await self._listen(socket)
        except ConnectionClosed:  # however: no more frames come, and that is what counts
            pass
        finally:
            teller.cancel()
            if self._current is socket:
                self._current = None

    async def _listen(self, socket: ServerConnection) -> None:
        second, count, bad = 0, 0, 0
        async for text in socket:
            if self._current is not socket:
                return
            now = time.monotonic()
            if int(now) != second:
                second, count = int(now), 0
            count += 1
            if count > PER_SECOND or bad >= BAD_IN_A_ROW:
                await socket.close(POLICY_VIOLATION, f"allowed are {PER_SECOND} good messages a second")
                return
            try:
                said = parse(text)
            except ValueError as error:
                bad += 1
                self.refused.put(str(error))
                continue
            bad, self._heard_at = 0, now
            if isinstance(said, Frame):
                self._newest = 1e3 * said.sent_s, now
            self.heard.put((now, said))

    async def _tell(self, socket: ServerConnection) -> None:
        """The state, and the echo that lets the page measure the way."""
        try:
            while True:
                state = dict(self.state)
                if self._newest is not None:
                    sent_ms, at = self._newest
                    state["echo"] = {"t": sent_ms, "held_ms": 1e3 * (time.monotonic() - at)}
                await socket.send(json.dumps(state))
                await asyncio.sleep(TELL_S)
        except ConnectionClosed:
            return
