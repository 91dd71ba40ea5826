"""One websocket connection on which each question has one answer and nothing else is said."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import ClientConnection


class Line:
    """Always listens, so that the end of the connection and words out of turn are noticed when they come."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._heard = asyncio.ensure_future(socket.recv())

    async def hear(self, within_s: float) -> bytes | str:
        """The next message.

        Raises:
            asyncio.TimeoutError: there was none.
            ConnectionClosed: there will be none.
        """
        done, _ = await asyncio.wait({self._heard}, timeout=within_s)
        if not done:
            raise asyncio.TimeoutError(f"nothing came within {within_s:g} s")
        message = self._heard.result()
        self._heard = asyncio.ensure_future(self._socket.recv())
        return message

    async def ask(self, data: bytes, within_s: float) -> bytes | str:
        """Send, and return the answer; both within that time.

        Raises:
            As `hear`, and ConnectionError when the server spoke without having been asked.
        """
        self._refuse_words_out_of_turn()
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        await asyncio.wait_for(self._socket.send(data), within_s)  # a full buffer waits for the other end
        return await self.hear(max(0.0, end - loop.time()))

    async def wait(self, wake: asyncio.Event, ping_s: float, pong_s: float) -> None:
        """Until `wake`, or for `ping_s`; then the other end must answer a ping within `pong_s`."""
        woken = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait({woken, self._heard}, timeout=ping_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        self._refuse_words_out_of_turn()
        if wake.is_set():
            return
        pong = asyncio.ensure_future(await asyncio.wait_for(self._socket.ping(), pong_s))
        done, _ = await asyncio.wait({pong}, timeout=pong_s)
        if not done:
            raise asyncio.TimeoutError(f"no answer to a ping within {pong_s:g} s")
        pong.result()  # raises when the connection ended

    def drop(self) -> None:
        """At once, without a farewell that nobody may answer."""
        if not self._heard.cancel() and not self._heard.cancelled():
            self._heard.exception()  # looked at, so that asyncio does not print it
        self._socket.transport.abort()

    def _refuse_words_out_of_turn(self) -> None:
        if self._heard.done():
            self._heard.result()  # raises when it is the end
            raise ConnectionError("the server sent a message that nobody asked for")
