"""`policy:=ws://HOST:PORT` and `remote:=` in words: where a remote policy is and what its server does not say."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from urllib.parse import urlsplit

from policies.policy_words import is_remote
from policies.remote_told import DT_S, MAX_PIXELS, Told
from retake.errors import UserError

TOKEN_VARIABLE = "RETAKE_POLICY_TOKEN"
EXAMPLE = "write remote:='images=head:observation/image size=224x224 state=observation/state dt_ms=50 prompt=\"lift\"'"
WORDS = ("state", "images", "size", "dt_ms", "prompt", "answer_s")
ANSWER_S = (0.05, 10.0)


def check_address(address: str) -> None:
    """Raise UserError when nobody can be asked there."""
    try:
        parts = urlsplit(address)
        usable = is_remote(address) and bool(parts.hostname) and parts.port != 0 and not parts.username
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"policy:={address} is no address of a policy server; write policy:=ws://HOST:8000 or wss://HOST"
                        f" (a token belongs in {TOKEN_VARIABLE})")


def read_remote(text: str) -> dict[str, str | float]:
    """Parameters of the node remote_policy, from what a person wrote.

    Raises:
        UserError: an unknown word, or a value that cannot be read.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"cannot read remote:={text} ({error}); {EXAMPLE}") from None
    given: dict[str, str | float] = {}
    for word in words:
        name, is_pair, value = word.partition("=")
        if name not in WORDS or not is_pair or name in given:
            raise UserError(f"cannot read {word!r} in remote:=; allowed, once each: {', '.join(WORDS)}; {EXAMPLE}")
        given[name] = _number(name, value) if name in ("dt_ms", "answer_s") else value
    told_of(given)
    return given


def told_of(given: Mapping[str, str | float]) -> Told:
    """What these words say.

    Raises:
        UserError: a value is not allowed.
    """
    dt_ms, answer_s = float(given.get("dt_ms", 0)), float(given.get("answer_s", ANSWER_S[1]))
    if dt_ms and not DT_S[0] <= dt_ms / 1000 <= DT_S[1]:
        raise UserError(f"dt_ms={dt_ms:g} between actions; allowed: {1000 * DT_S[0]:g} to {1000 * DT_S[1]:g}")
    if not ANSWER_S[0] <= answer_s <= ANSWER_S[1]:
        raise UserError(f"answer_s={answer_s:g}; allowed: {ANSWER_S[0]:g} to {ANSWER_S[1]:g}")
    state, images, size = (str(given.get(name, "")) for name in ("state", "images", "size"))
    return Told(state or None, _images(images) if images else None, _size(size) if size else None,
                dt_ms / 1000 if dt_ms else None, str(given.get("prompt", "")))


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UserError(f"{name}={value} is no number; {EXAMPLE}") from None


def _images(text: str) -> dict[str, str]:
    pairs = [part.partition(":") for part in text.split(",")]
    if not all(camera and key for camera, _, key in pairs) or len({camera for camera, _, _ in pairs}) != len(pairs):
        raise UserError(f"cannot read images={text}; allowed: CAMERA:KEY with commas between; {EXAMPLE}")
    return {camera: key for camera, _, key in pairs}


def _size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` to (height, width)."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 1 <= int(width) <= MAX_PIXELS
            and 1 <= int(height) <= MAX_PIXELS):
        raise UserError(f"cannot read size={text}; allowed: WIDTHxHEIGHT up to {MAX_PIXELS}; {EXAMPLE}")
    return int(height), int(width)
