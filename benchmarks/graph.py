"""Figures of the launched graph: the trained policy in lockstep, and how fast a person gets the robot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from retake.doctor.machine import stolen_s

BUILD = Path("build/bench")
DOMAIN = "77"  # a ROS domain of the bench's own
EVALUATION_SEEDS = 50
TAKEOVERS = 100
START_TIMEOUT_S = 90.0


def _environment() -> dict[str, str]:
    return os.environ | {"ROS_DOMAIN_ID": DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "OMP_NUM_THREADS": "1"}


def policy() -> dict[str, dict[str, Any]]:
    """`retake eval` on held-out seeds; the lockstep's real-time factor comes from the same run."""
    BUILD.mkdir(parents=True, exist_ok=True)
    out = BUILD / "eval.json"
    arguments = [f"episodes:={EVALUATION_SEEDS}", f"root:={BUILD / 'episodes'}", f"result:={BUILD / 'episodes.json'}"]
    command = [sys.executable, "-m", "retake.cli", "eval", "--out", str(out), *arguments]
    subprocess.run(command, check=True, env=_environment())
    figures = json.loads(out.read_text())
    interval = [figures["low"], figures["high"]]
    success = {"value": figures["rate"], "peer": None, "interval": interval, "why": figures["why"]}
    rtf = {"value": figures["real_time_factor"], "peer": None}
    return {"g1_box_policy_success": success, "lockstep_rtf": rtf, "falls": {"value": figures["falls"]}}


def takeover_latency() -> dict[str, dict[str, Any]]:
    """A scripted teleoperator over the topics and services a person uses, in real time, TAKEOVERS times.

    `stolen` in the result is the share of this machine's processors that its host gave to others meanwhile: with more
    than some percent of it the latency is the host's (seen: pauses of 240 ms at 60 %).
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    up = [sys.executable, "-m", "retake.cli", "up", "headless:=true", f"root:={BUILD / 'takeover'}"]
    began, stolen_before = time.monotonic(), stolen_s()
    with (BUILD / "takeover.log").open("w") as log:
        graph = subprocess.Popen(up, stdout=log, stderr=subprocess.STDOUT, env=_environment())
        try:
            script = [sys.executable, "-m", "benchmarks.teleoperator", str(TAKEOVERS), str(START_TIMEOUT_S)]
            done = subprocess.run(script, check=True, env=_environment(), stdout=subprocess.PIPE, text=True)
        finally:
            graph.send_signal(signal.SIGINT)
            _wait(graph)
    stolen = (stolen_s() - stolen_before) / (time.monotonic() - began) / (os.cpu_count() or 1)
    result = json.loads(done.stdout.splitlines()[-1])
    latencies, references = np.array(result["latencies_ms"]), np.array(result["first_reference_ms"])
    p50, p99 = (float(np.percentile(latencies, p)) for p in (50, 99))
    kept = ("missed", "threshold_rad", "still_rad", "sham_rad", "shams")
    return {
        "takeover_latency_p99_ms": {"value": p99, "peer": None, "p50_ms": p50, "worst_ms": float(latencies.max()),
                                    "takeovers": len(latencies), "stolen": round(stolen, 4),
                                    "first_reference_p99_ms": float(np.nanpercentile(references, 99)),
                                    **{key: result[key] for key in kept}},
        "falls": {"value": int(result["fallen"])},
    }  # fmt: skip


def _wait(process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if process.poll() is None:
        process.kill()
