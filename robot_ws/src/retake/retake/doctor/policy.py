"""Is the policy server that the graph would ask there, for this robot, and quick enough?"""

from __future__ import annotations

import os
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

import cv2
import numpy as np

from controllers.rigs import Rig
from policies.observation import Observation
from policies.remote_policy import Patience, RemoteAnswer, RemotePolicy
from policies.remote_terms import Robot, Terms, agree
from retake.doctor.finding import Finding, bad, good, note
from retake.policy.observing import INFERENCE_FRAMES
from retake.policy.remote_choice import TOKEN_VARIABLE, read_remote, told_of

NAME = "policy"
PROBES = 20
LOOK_S = 0.1
T = TypeVar("T")


def server(address: str, remote: str, rig: Rig) -> Finding:
    """Connects once, agrees, warms it up and asks about grey pictures."""
    words = read_remote(remote)
    ready: SimpleQueue[Terms] = SimpleQueue()
    answers: SimpleQueue[RemoteAnswer] = SimpleQueue()
    robot = Robot(rig.name, tuple(rig.layout.channels), rig.cameras)
    patience = Patience(answer_s=float(words.get("answer_s", Patience.answer_s)), again_s=(3600.0,))
    asked = RemotePolicy(address, os.environ.get(TOKEN_VARIABLE, ""),
                         partial(agree, robot=robot, told=told_of(words), address=address), rig.home_action, ready.put,
                         answers.put, patience)  # fmt: skip
    try:
        terms = _next(asked, ready)
        if terms is None:
            return bad(NAME, asked.trouble, f"start it, look at the address and at {TOKEN_VARIABLE}, or say what it "
                       "takes with remote:=")
        return _measured(asked, answers, terms, rig)
    finally:
        asked.close()


def _next(asked: RemotePolicy, queue: SimpleQueue[T]) -> T | None:
    """The next one, or None when the connection failed or ended."""
    while True:
        try:
            return queue.get(timeout=LOOK_S)
        except Empty:
            if asked.trouble.startswith("no chunk") or not asked.is_alive():
                return None


def _measured(asked: RemotePolicy, answers: SimpleQueue[RemoteAnswer], terms: Terms, rig: Rig) -> Finding:
    """Its answers to grey pictures at a state it was warmed up with."""
    grey = cv2.imencode(".jpg", np.full((terms.height, terms.width, 3), 127, np.uint8))[1].tobytes()
    period_ms = 1000 * INFERENCE_FRAMES * rig.camera_dt
    took_ms = []
    for k in range(PROBES):
        asked.submit(Observation(k, (grey,) * len(terms.cameras), rig.home_action, k), terms.cameras)
        done = _next(asked, answers)
        if done is None:
            return bad(NAME, asked.trouble, "look at the server")
        if done.chunk is None:
            return bad(NAME, f"{terms.name}: {done.refusal}", "look at the server")
        took_ms.append(1000 * done.round_trip_s)
    seen = (f"{terms.name}, cameras {', '.join(terms.cameras)} at {terms.width}x{terms.height}, answers in "
            f"{np.median(took_ms):.0f} ms, at worst {max(took_ms):.0f} ms")
    if max(took_ms) > period_ms:
        return note(NAME, seen, f"an observation comes every {period_ms:.0f} ms; some will not be asked about")
    return good(NAME, seen)
