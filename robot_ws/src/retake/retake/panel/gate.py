"""Who may reach the panel: which address it binds, and which browser connections it admits. Pure.

A page on any web site can make the operator's browser open a WebSocket to 127.0.0.1, so binding loopback alone does
not keep strangers out: without a token the request must come from the panel's own page (Origin) under a loopback name
(Host, against DNS rebinding). Beyond loopback a token decides.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlsplit

from retake.errors import UserError

MIN_TOKEN_LENGTH = 16


def is_loopback(host: str) -> bool:
    """True when only this machine can reach `host` (a name or an address)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_address(host: str, port: int, token: str) -> None:
    """Raise UserError when the panel must not, or cannot, listen on `host`:`port`."""
    if not is_loopback(host) and len(token) < MIN_TOKEN_LENGTH:
        raise UserError(
            f"host {host!r} lets other machines command the robot: give a token of at least {MIN_TOKEN_LENGTH} "
            "characters (parameter token), or bind 127.0.0.1 and come through an ssh tunnel"
        )
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        raise UserError(
            f"port {port} on {host} cannot be used ({getattr(error, 'strerror', None) or error}): stop the program "
            f"that listens there, or choose another one (parameter port, for example {8081 if port != 8081 else 8082})"
        ) from error


def address(host: str, port: int, token: str) -> str:
    """URL an operator opens. With a token it also tells the page which WebSocket path carries it."""
    where = f"{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    return f"http://{where}/?websocket=ws://{where}/?token={quote(token, safe='')}" if token else f"http://{where}"


def refusal(path: str, headers: Mapping[str, str], token: str) -> str | None:
    """Why a WebSocket request is not admitted, or None when it is.

    Args:
        path: request target, `/?token=...`.
        headers: of the request; `Host` and `Origin` are read.
        token: the panel's, empty when it binds loopback without one.
    """
    if token:
        given = parse_qs(urlsplit(path).query).get("token", [""])[0]
        return None if hmac.compare_digest(given.encode(), token.encode()) else "the token is missing or wrong"
    host = headers.get("Host", "")
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        return f"the request is for host {host!r}, not for a loopback name"
    origin = headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return f"the page comes from {origin!r}, not from this panel"
    return None
