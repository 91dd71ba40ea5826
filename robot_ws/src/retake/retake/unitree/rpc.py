"""Unitree's service calls over DDS: a Request_ on rt/api/<service>/request, its Response_ with the same id back.

`Caller` asks without waiting, so that nobody who serves a motor loop waits either; `Answerer` is the other end.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from retake.unitree.dds import Bus
from retake.unitree.idl import (
    Request_,
    RequestHeader_,
    RequestIdentity_,
    RequestLease_,
    RequestPolicy_,
    Response_,
    ResponseHeader_,
    ResponseStatus_,
)

OK, NOT_IMPLEMENTED, INTERNAL = 0, 3203, 3202  # codes of Unitree's rpc layer
API_VERSION = 1  # a call that every service knows

MOTION_SWITCHER, CHECK_MODE, SELECT_MODE, RELEASE_MODE = "motion_switcher", 1001, 1002, 1003
LOCOMOTION = "sport"
GET_FSM_ID, GET_FSM_MODE, GET_BALANCE_MODE, GET_SWING_HEIGHT, GET_STAND_HEIGHT = 7001, 7002, 7003, 7004, 7005
SET_FSM_ID, SET_BALANCE_MODE, SET_SWING_HEIGHT, SET_STAND_HEIGHT, SET_VELOCITY = 7101, 7102, 7103, 7104, 7105
SET_ARM_TASK, SET_SPEED_MODE = 7106, 7107

_ids = itertools.count(time.time_ns())  # unique among the callers on the wire


class Caller:
    """Asks one service."""

    def __init__(self, bus: Bus, service: str) -> None:
        self.service = service
        self._requests = bus.writer(f"rt/api/{service}/request", Request_)
        self._responses = bus.reader(f"rt/api/{service}/response", Response_, depth=16)
        self._answers: dict[int, tuple[int, str]] = {}
        self._open: set[int] = set()

    @property
    def is_there(self) -> bool:
        """Somebody takes our requests; one sent before is lost."""
        return self._requests.readers > 0

    def ask(self, api: int, parameter: Mapping[str, Any] | None = None, reply: bool = True) -> int:
        """Send a request; its id. Without `reply` nothing comes back."""
        number = next(_ids)
        header = RequestHeader_(RequestIdentity_(number, api), RequestLease_(0), RequestPolicy_(0, not reply))
        if reply:
            self._open.add(number)
        self._requests.write_message(Request_(header, json.dumps(parameter or {}), []))
        return number

    def answer(self, number: int) -> tuple[int, str] | None:
        """Code and data of the response to request `number`, None while it has not come."""
        for response in self._responses.take_messages():
            identity = response.header.identity
            if identity.id in self._open:
                self._open.discard(identity.id)
                self._answers[identity.id] = int(response.header.status.code), str(response.data)
        return self._answers.pop(number, None)

    def forget(self, number: int) -> None:
        """Nobody waits for this response any more."""
        self._open.discard(number)
        self._answers.pop(number, None)


class Answerer:
    """Answers for one service; `serve` it often."""

    def __init__(
        self, bus: Bus, service: str, version: str, calls: Mapping[int, Callable[[dict], tuple[int, Any]]]
    ) -> None:
        """`calls`: from api id to a function of the parameters that gives a code and data for JSON, or None."""
        self._version, self._calls = version, calls
        self._requests = bus.reader(f"rt/api/{service}/request", Request_, depth=32)
        self._responses = bus.writer(f"rt/api/{service}/response", Response_)

    def serve(self) -> None:
        """Answer what has come."""
        for request in self._requests.take_messages():
            identity = request.header.identity
            code, data = self._answered(int(identity.api_id), str(request.parameter))
            if not request.header.policy.noreply:
                self._responses.write_message(Response_(ResponseHeader_(identity, ResponseStatus_(code)), data, []))

    def _answered(self, api: int, parameter: str) -> tuple[int, str]:
        if api == API_VERSION:
            return OK, self._version
        if api not in self._calls:
            return NOT_IMPLEMENTED, ""
        try:
            code, data = self._calls[api](json.loads(parameter or "{}"))
        except (ValueError, KeyError, TypeError):  # not JSON, or not these parameters
            return INTERNAL, ""
        return code, "" if data is None else json.dumps(data)
