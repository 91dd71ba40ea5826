"""From a robot in its gantry to one that its controller balances, as a lab walks it: START, lower, A, remove."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import String

from retake.ros import qos
from tests.nodes.conftest import Probe

from .conftest import ordinary_priority
from .test_contract import running

pytestmark = pytest.mark.heavy
ATTEMPTS = 3


def retake_wire(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "retake.cli", "wire", *words], check=True, timeout=30,
                   preexec_fn=ordinary_priority)


@pytest.fixture
def lab(probe: Probe, domain: int) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(running("retake.control.whole_body_controller"))
        stack.enter_context(running("sim.g1_wire", dds_domain=domain))
        stack.enter_context(running("retake.g1.driver", interface="lo", dds_domain=domain, release=True, ramp_s=1.0,
                                    patience_s=60.0))
        yield


def test_from_the_gantry_to_its_own_feet(lab, probe: Probe) -> None:
    said: dict[str, dict[str, str]] = {}

    def on_diagnostics(message: DiagnosticArray) -> None:
        said[message.status[0].name] = {pair.key: pair.value for pair in message.status[0].values}

    truths: list[dict] = []
    probe.create_subscription(DiagnosticArray, "diagnostics", on_diagnostics, qos.STREAM)
    probe.create_subscription(String, "ground_truth/task", lambda message: truths.append(json.loads(message.data)),
                              qos.NEWEST)

    def is_in(phase: str) -> bool:
        return said.get("g1_driver", {}).get("motors") == phase

    probe.until(lambda: is_in("ready"), 60.0)
    retake_wire("press", "start")
    probe.until(lambda: is_in("posture"), 10.0)
    retake_wire("gantry", "lower")
    probe.serve(2.5)
    for _ in range(ATTEMPTS):  # a machine that stops for 100 ms damps the robot, which still hangs in its rope
        if not is_in("posture"):
            retake_wire("press", "start")
            probe.until(lambda: is_in("posture"), 10.0)
            probe.serve(1.5)
        retake_wire("press", "A")
        probe.serve(4.0)
        if is_in("active"):
            break
    retake_wire("gantry", "remove")
    probe.serve(4.0)
    assert not truths[-1]["fallen"] and is_in("active")
    retake_wire("press", "L2", "B")
    probe.until(lambda: is_in("damped"), 10.0)
    probe.until(lambda: truths[-1]["fallen"], 20.0)  # nobody holds it, and its motors only brake
