"""A WebSocket server in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

CLOSE_S = 5.0


class WebsocketThread(threading.Thread, ABC):
    """Listens until `close`. `is_ready` is set when it does, with the real `port`, or has failed, with `failure`. A
    kind of server says whom it admits and what it says to them; both run in this thread."""

    def __init__(self, name: str, host: str, port: int, **options: Any) -> None:
        """`options`: of websockets' `serve`; nothing is compressed, strangers' broken handshakes are not logged."""
        super().__init__(name=name, daemon=True)
        self.host, self.port, self._options = host, port, options
        self.is_ready = threading.Event()
        self.failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()

    @abstractmethod
    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """An answer by HTTP, or None: go on with the WebSocket."""

    @abstractmethod
    async def converse(self, socket: ServerConnection) -> None:
        """With one client, to the end of its connection."""

    def run(self) -> None:
        """Serve until `close`."""
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self.failure = error
        finally:
            self.is_ready.set()

    def close(self) -> None:
        """End."""
        if self._loop is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self.join(CLOSE_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        quiet = logging.getLogger(f"retake.{self.name}")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        async with serve(self.converse, self.host, self.port, process_request=self.admit, compression=None,
                         close_timeout=1.0, open_timeout=5.0, server_header=None, logger=quiet,
                         **self._options) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self.is_ready.set()
            await self._end.wait()
