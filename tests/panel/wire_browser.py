"""A browser without a screen: speaks viser's WebSocket protocol, so many tests need no Chromium.

It can also do what a real one cannot be made to do: fall silent with the connection open, or come from another site.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time

import msgspec
import viser
import zstandard
from viser import _messages
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class WireBrowser:
    """One connection to the panel at ws://127.0.0.1:`port`."""

    def __init__(self, port: int, path: str = "/", origin: str | None = None, alive: bool = True) -> None:
        self.alive = alive  # answers signs of life
        self.closed_with = ""
        self.received = 0
        self._things: dict[str, dict] = {}  # uuid or scene name: properties
        self._socket = connect(f"ws://127.0.0.1:{port}{path}", origin=origin, compression=None,
                               subprotocols=[f"viser-v{viser.__version__}"], max_size=None)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        with contextlib.suppress(ConnectionClosed):  # not admitted; `closed_with` says why
            self._send(_messages.ViewerCameraMessage((1, 0, 0, 0), (2, 2, 2), 1.3, 0.01, 1e3, 600, 800, (0, 0, 0),
                                                     (0, 0, 1)))

    def text(self) -> str:
        """Everything that the page's HTML says."""
        return " ".join(re.sub("<[^>]*>", " ", p["content"]) for p in list(self._things.values()) if "content" in p)

    def says(self, words: str, seconds: float = 30.0) -> None:
        """Wait until the page says `words`."""
        end = time.monotonic() + seconds
        while words not in self.text():
            assert time.monotonic() < end, f"never said {words!r}, but {self.text()!r}"
            time.sleep(0.02)

    def click(self, label: str) -> None:
        """Press the button with this label."""
        self._send(_messages.GuiUpdateMessage(self._find(label), {"value": True}))

    def slide(self, label: str, value: float) -> None:
        """Move the slider with this label."""
        self._send(_messages.GuiUpdateMessage(self._find(label), {"value": value}))

    def trigger(self, label: str) -> None:
        """What a hotkey does."""
        self._send(_messages.CommandTriggerMessage(self._find(label, command=True)))

    def drag(self, side: str, position: tuple[float, float, float]) -> None:
        """Drag a gizmo to `position` m in odom without turning it."""
        message = _messages.TransformControlsUpdateMessage(f"/teleop/{side}", (1.0, 0.0, 0.0, 0.0), position)
        message.owner = self._things[f"/teleop/{side}"]["owner"]
        self._send(message)

    def is_refused(self) -> str:
        """Wait for the server to close the connection; its reason."""
        self._thread.join(30.0)
        assert not self._thread.is_alive()
        return self.closed_with

    def close(self) -> None:
        """Go away."""
        self._socket.close()

    def _find(self, label: str, command: bool = False) -> str:
        end = time.monotonic() + 30.0
        while time.monotonic() < end:
            for uuid, thing in list(self._things.items()):
                if thing.get("label") == label and ("hotkey" in thing) == command:
                    return uuid
            time.sleep(0.02)
        labels = sorted(thing["label"] for thing in self._things.values() if thing.get("label"))
        raise AssertionError(f"no {label!r} among {labels}")

    def _send(self, message: _messages.Message) -> None:
        self._socket.send(msgspec.msgpack.encode(message.as_serializable_dict()))

    def _listen(self) -> None:
        unpack = zstandard.ZstdDecompressor()
        try:
            for data in self._socket:
                size, packed = (int.from_bytes(data[i : i + 8], "little") for i in (0, 8))
                window = msgspec.msgpack.decode(unpack.decompress(data[16 : 16 + packed], max_output_size=size))
                for message in window["messages"]:
                    self._take(message)
        except ConnectionClosed:
            pass
        self.closed_with = self._socket.protocol.close_reason or "closed"

    def _take(self, message: dict) -> None:
        self.received += 1
        name = message.get("uuid") or message.get("name")
        if isinstance(message.get("props"), dict):
            self._things[name] = {**message["props"], "owner": message.get("owner", "")}
        elif isinstance(message.get("updates"), dict):
            self._things.setdefault(name, {}).update(message["updates"])
        elif message["type"] == "LocalStorageGetItemRequestMessage" and self.alive:
            self._send(_messages.LocalStorageGetItemResponseMessage(None, None, message["request_uuid"]))
