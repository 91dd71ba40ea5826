"""What stands between two real ends in the tests: a cable that can go dead, and servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable

from websockets.asyncio.server import ServerConnection, serve


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Look again and again; the limit is only for a test that has failed."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.01)


class Relay:
    """Forwards TCP to `port` until `cut`: then both ends keep their sockets and nothing comes through any more."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._dead = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._dead.set()

    def mend(self) -> None:
        """For connections that are made from now on."""
        self._dead = threading.Event()

    def close(self) -> None:
        self._listener.close()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._sockets += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(a, b, self._dead), daemon=True).start()

    @staticmethod
    def _forward(a: socket.socket, b: socket.socket, dead: threading.Event) -> None:
        try:
            while data := a.recv(65536):
                if dead.is_set():
                    return  # both sockets stay open
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            return


class OddServer(threading.Thread):
    """A websocket server on loopback that does with each connection whatever `talk` does."""

    def __init__(self, talk: Callable[[ServerConnection], Awaitable[None]], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(daemon=True)
        self._tls = tls
        self._talk, self._end, self._ready = talk, asyncio.Event(), threading.Event()
        self.port = 0
        self.start()
        self._ready.wait()

    def run(self) -> None:
        asyncio.run(self._serve())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with serve(self._until_end, "127.0.0.1", 0, ssl=self._tls, compression=None, max_size=None,
                         close_timeout=0.1) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._end.wait()

    async def _until_end(self, socket: ServerConnection) -> None:
        talking, ended = asyncio.ensure_future(self._talk(socket)), asyncio.ensure_future(self._end.wait())
        await asyncio.wait({talking, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        talking.cancel()
        await asyncio.wait({talking})
        if not talking.cancelled():
            talking.exception()  # the client went away; that is what the tests are about
