"""`retake doctor`: is this machine fit to run the robot? One line for each thing, with the remedy; nothing moves.

Takes the graph's arguments, so that it looks at the disk, policy, port, cable and cameras that the graph would use.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from controllers.rigs import rig_of
from policies.policy_words import is_remote
from retake import preflight, up
from retake.arguments import Value, read_arguments
from retake.cameras.choice import read_cameras
from retake.doctor import devices as doctor_devices
from retake.doctor import machine as doctor_machine
from retake.doctor import policy as doctor_policy
from retake.doctor import ros as doctor_ros
from retake.doctor.finding import Finding, Level, bad
from retake.errors import UserError
from retake.graph import make_graph

CAMERA_S = 5.0
G1_DOMAIN = 0  # the robot's own DDS domain
Check = Callable[[], Finding | Sequence[Finding]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `retake up`, and the CAN buses to look at."""
    up.add_arguments(parser)
    parser.add_argument("--can", action="append", default=[], metavar="NAME", help="CAN bus, such as can0; repeatable")


def run(args: argparse.Namespace) -> int:
    """Print a line for each finding as it is made; 1 when one is bad."""
    for name, value in up.DEFAULT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    counts = dict.fromkeys(Level, 0)
    for check in checks(read_arguments(up.split_words(args.arguments)), args.can):
        found = check()
        for finding in [found] if isinstance(found, Finding) else found:
            counts[finding.level] += 1
            print(finding.line(), flush=True)
    print(f"{counts[Level.GOOD]} well, {counts[Level.NOTE]} to note, {counts[Level.BAD]} bad")
    return 1 if counts[Level.BAD] else 0


def checks(values: Mapping[str, Value], buses: Sequence[str]) -> Iterator[Check]:
    """All checks for these arguments, quick ones first."""
    rig = rig_of(str(values["rig"]))
    named = read_cameras(str(values["cameras"]), rig.cameras)
    yield doctor_ros.settings
    yield doctor_machine.clock
    yield doctor_machine.priority
    yield doctor_machine.governor
    yield from _graph(values)
    if is_remote(str(values["policy"])):
        yield partial(doctor_policy.server, str(values["policy"]), str(values["remote"]), rig)
    yield partial(doctor_machine.disk, Path(str(values["root"])))
    for bus in buses:
        yield partial(doctor_machine.can, bus)
    yield doctor_ros.two_processes
    yield partial(doctor_ros.rivals, f"/{rig.name}")
    cable = str(values["interface"])
    if rig.name == "g1" and (cable or values["robot"] == "hardware"):
        yield partial(doctor_machine.interface, cable)
        yield partial(doctor_devices.g1, cable, max(int(values["dds_domain"]), G1_DOMAIN))
    yield partial(doctor_devices.cameras, named, CAMERA_S)
    yield doctor_machine.pauses


def _graph(values: Mapping[str, Value]) -> Iterator[Check]:
    """What `retake up` would refuse with the same arguments."""
    try:
        graph = make_graph(values)
    except UserError as error:
        refusal = bad("graph", str(error))
        yield lambda: refusal
        return
    for name, check in preflight.checks(values, graph):
        yield partial(doctor_machine.refused, name, check, "ready")
