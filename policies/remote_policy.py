"""Asks a policy server over openpi's websocket protocol: in a thread of its own, the newest observation only.

Nothing here waits longer than Patience says, and whatever goes wrong there is no chunk: the connection is dropped and
made anew. A server that stops answering is noticed within 2 s, by its answer (1.8 s) or by a ping while nothing is
asked (0.5 + 1 s). openpi's own server answers no ping while it infers, so none is sent while an answer is awaited.
Messages that nobody asked for end a connection: they could be taken for the answer to a later observation.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from policies.observation import Observation
from policies.openpi_wire import MAX_BYTES, WireError, pack, plain, unpack
from policies.remote_line import Line
from policies.remote_terms import Terms

N_WARM_UPS = 2  # the second one shows how long an answer takes


@dataclass(frozen=True)
class Patience:
    """How long to wait, s. `warm_up_s`: a server may compile its policy for the first observation."""

    connect_s: float = 3.0
    warm_up_s: float = 120.0
    answer_s: float = 1.8
    ping_s: float = 0.5
    pong_s: float = 1.0
    again_s: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)  # before the first, second, ... new try in a row


@dataclass(frozen=True)
class RemoteAnswer:
    """A chunk (n, dim), or None with the reason in `refusal`; `round_trip_s` from the observation to here."""

    observation: Observation
    chunk: np.ndarray | None
    round_trip_s: float
    refusal: str = ""


class RemotePolicy(threading.Thread):
    """One slot, as InferenceWorker has it: `submit` replaces an observation that has not been sent yet.

    `terms` is set while the server is connected, agreed and warm; `trouble` says why it is not. This thread writes both
    and calls `on_ready` and `on_answer`; the slot is the caller's and this thread's.
    """

    def __init__(self, address: str, token: str, agree: Callable[[Any], Terms], home: np.ndarray,
                 on_ready: Callable[[Terms], None], on_answer: Callable[[RemoteAnswer], None],
                 patience: Patience | None = None) -> None:
        """`agree` raises ValueError for metadata of a server that must not be used; `home` (s,) is a state to warm the
        policy up with."""
        super().__init__(name="remote_policy", daemon=True)
        self._address, self._token, self._agree, self._home = address, token, agree, home
        self._on_ready, self._on_answer, self._patience = on_ready, on_answer, patience or Patience()
        self._slot: tuple[Observation, tuple[str, ...]] | None = None
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()  # of the loop, as is `_end`
        self._end = asyncio.Event()
        self.terms: Terms | None = None
        self.trouble = f"not yet connected to {address}"
        self.n_overtaken = self.n_connections = 0
        self.start()

    def submit(self, observation: Observation, cameras: tuple[str, ...]) -> None:
        """Ask about this, with pictures of these cameras; nothing happens while the server is not ready."""
        if self.terms is None:
            return
        with self._lock:
            self.n_overtaken += self._slot is not None
            self._slot = observation, cameras
        self._loop.call_soon_threadsafe(self._wake.set)

    def clear(self) -> None:
        """Drop what waits."""
        with self._lock:
            self._slot = None

    def close(self) -> None:
        """End; at most a moment, whatever the server does."""
        if self.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self.join()

    def run(self) -> None:
        """Until `close`."""
        try:
            self._loop.run_until_complete(self._until_closed())
        finally:
            self.terms = None
            self._loop.close()

    async def _until_closed(self) -> None:
        ended, living = asyncio.ensure_future(self._end.wait()), asyncio.ensure_future(self._live())
        await asyncio.wait({ended, living}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        living.cancel()
        await asyncio.wait({living})
        if not living.cancelled():
            living.result()  # a fault of ours: it travels

    async def _live(self) -> None:
        in_a_row = 0
        while True:
            was = self.n_connections
            try:
                await self._converse()
            except (OSError, asyncio.TimeoutError, WebSocketException, ValueError) as error:
                self.terms = None
                self.trouble = f"no chunk from {self._address}: {_reason(error)}"
            in_a_row = in_a_row if self.n_connections == was else 0
            again_s = self._patience.again_s
            await asyncio.sleep(again_s[min(in_a_row, len(again_s) - 1)])
            in_a_row += 1

    async def _converse(self) -> None:
        """From the handshake to the end of the connection, which always comes as an exception."""
        headers = {"Authorization": f"Api-Key {self._token}"} if self._token else None
        socket = await connect(self._address, compression=None, max_size=MAX_BYTES, max_queue=2, ping_interval=None,
                               proxy=None, open_timeout=self._patience.connect_s, close_timeout=0.2,
                               additional_headers=headers)
        line = Line(socket)
        try:
            terms = self._agree(_read(await line.hear(self._patience.connect_s)))
            self.trouble = f"{self._address} warms up; at most {self._patience.warm_up_s:g} s"
            await self._warm_up(line, terms)
            self.clear()
            self.n_connections += 1
            self.terms, self.trouble = terms, ""
            self._on_ready(terms)  # before the first chunk, which goes by its name
            while True:
                await self._serve_slot(line, terms)
        finally:
            self.terms = None
            line.drop()

    async def _warm_up(self, line: Line, terms: Terms) -> None:
        picture = np.full((terms.height, terms.width, 3), 127, np.uint8)
        data = pack(terms.message([picture] * len(terms.cameras), self._home))
        for within_s in (*[self._patience.warm_up_s] * (N_WARM_UPS - 1), self._patience.answer_s):
            terms.chunk(_read(await line.ask(data, within_s)))

    async def _serve_slot(self, line: Line, terms: Terms) -> None:
        with self._lock:
            taken, self._slot = self._slot, None
        if taken is None:
            self._wake.clear()
            if self._slot is None:  # else it came in between, and its wake was cleared
                await line.wait(self._wake, self._patience.ping_s, self._patience.pong_s)
            return
        observation, cameras = taken
        if cameras != terms.cameras:  # made for the server before this one
            return
        start = time.perf_counter()

        def done(chunk: np.ndarray | None, refusal: str = "") -> None:
            self._on_answer(RemoteAnswer(observation, chunk, time.perf_counter() - start, refusal))

        try:
            request = pack(terms.request(observation))
        except ValueError as error:  # a picture or the state; the server is not to blame
            return done(None, str(error))
        try:
            chunk = terms.chunk(_read(await line.ask(request, self._patience.answer_s)))
        except (WireError, OSError, asyncio.TimeoutError, WebSocketException) as error:
            done(None, _reason(error))
            raise  # what follows on this connection cannot be trusted
        except ValueError as error:
            return done(None, str(error))
        done(chunk)


def _read(message: bytes | str) -> Any:
    """What the server sent; text is how it says that something went wrong.

    Raises:
        ValueError: it was text, or no message.
    """
    if isinstance(message, str):
        lines = [line for line in message.splitlines() if line.strip()]  # a traceback's last line says what
        raise ValueError(f"the server says: {plain(lines[-1]) if lines else 'nothing'}")
    return unpack(message)


def _reason(error: Exception) -> str:
    """In one line."""
    if isinstance(error, InvalidStatus):
        said = (error.response.body or b"")[:200].decode("utf-8", "replace")
        return f"HTTP {error.response.status_code} {plain(said or error.response.reason_phrase)}"
    if isinstance(error, ConnectionClosed):
        return f"the connection ended: {plain(str(error))}"
    return plain(str(error), 1000) or "it does not answer in time"
