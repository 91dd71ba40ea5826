"""Serves a policy to any openpi client: metadata on connection, then an answer for each observation.

What cannot be answered is answered with text, as openpi does it: it says why. `/healthz` is answered without a token. A
connection that half of the network has forgotten ends after 15 s; nothing but its place is lost by that.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from policies.openpi_wire import MAX_BYTES, WireError, pack, plain, unpack
from policies.served_policy import ServedPolicy
from policies.websocket_thread import WebsocketThread

MAX_CLIENTS = 8  # each may have two messages of MAX_BYTES waiting
BAD_IN_A_ROW = 20
PING_S, PONG_S = 5.0, 10.0
SAY_S = 1.0


class PolicyService(WebsocketThread):
    """The policy runs in another thread, one observation at a time."""

    def __init__(self, policy: ServedPolicy, host: str, port: int, token: str = "",
                 say: Callable[[str], None] = lambda _: None) -> None:
        """`token`: what clients must send as `Authorization: Api-Key TOKEN` or `Bearer TOKEN`; empty: nothing.
        `say` is called in this thread with what a person at the server wants to know."""
        super().__init__("policy_service", host, port, origins=[None], max_size=MAX_BYTES, max_queue=2,
                         ping_interval=PING_S, ping_timeout=PONG_S)
        self._policy, self._token, self._say = policy, token, say
        self._inference = ThreadPoolExecutor(1, "inference")
        self._clients = 0
        self.n_answered = self.n_refused = 0
        self._said_s = 0.0

    def run(self) -> None:
        """Serve until `close`."""
        try:
            super().run()
        finally:
            self._inference.shutdown()

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """An answer by HTTP, or None: go on with the WebSocket. A page in a browser is refused by its Origin."""
        if urlsplit(request.path).path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        if self._token and not self._knows(request.headers.get("Authorization", "")):
            self._refuse(f"a client without the token: {_who(connection)}")
            return connection.respond(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong; send it as header "
                                      "Authorization: Api-Key TOKEN (api_key of openpi's client)\n")
        if self._clients >= MAX_CLIENTS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_CLIENTS} clients are connected; allowed "
                                      "are no more; close one\n")
        return None

    def _knows(self, header: str) -> bool:
        scheme, _, given = header.partition(" ")
        return scheme in ("Api-Key", "Bearer") and hmac.compare_digest(given.strip().encode(), self._token.encode())

    async def converse(self, socket: ServerConnection) -> None:
        self._clients += 1
        self._say(f"client {_who(socket)} connected")
        try:
            await self._answer_all(socket)
        except ConnectionClosed as error:
            # on our side for a message that is too big, a broken frame, or silence
            self._say(f"client {_who(socket)} ended: {plain(str(error))}")
        else:
            self._say(f"client {_who(socket)} ended")
        finally:
            self._clients -= 1

    async def _answer_all(self, socket: ServerConnection) -> None:
        await socket.send(pack(self._policy.metadata))
        total_s, bad = 0.0, 0
        while True:
            message = await socket.recv()
            start = time.perf_counter()
            try:
                reply = await asyncio.get_running_loop().run_in_executor(self._inference, self._reply, message, total_s)
            except (ValueError, RuntimeError) as error:  # the latter: torch's
                bad += 1
                self._refuse(plain(str(error)))
                await socket.send(str(error))
                if isinstance(error, RuntimeError):
                    return await socket.close(CloseCode.INTERNAL_ERROR, "the inference failed; see the text before")
                if isinstance(error, WireError) or bad >= BAD_IN_A_ROW:
                    return await socket.close(CloseCode.POLICY_VIOLATION, "see the text before")
                continue
            bad = 0
            self.n_answered += 1
            await socket.send(reply)
            total_s = time.perf_counter() - start

    def _refuse(self, why: str) -> None:
        """Count, and say it at most once a second: a stranger must not fill the terminal."""
        self.n_refused += 1
        if time.monotonic() - self._said_s >= SAY_S:
            self._said_s = time.monotonic()
            self._say(f"refused ({self.n_refused} so far): {why}")

    def _reply(self, message: bytes | str, total_s: float) -> bytes:
        if isinstance(message, str):
            raise WireError("a message of text; allowed: msgpack in a binary message, as openpi's client sends it")
        actions, infer_s = self._policy.infer(unpack(message))
        timing = {"infer_ms": 1000 * infer_s} | ({"prev_total_ms": 1000 * total_s} if total_s else {})
        return pack({"actions": actions, "server_timing": timing})


def _who(socket: ServerConnection) -> str:
    address = socket.remote_address
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "?"
