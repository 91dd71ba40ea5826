"""`retake wire`: what people do who stand beside the robot of robot:=sim-wire: press its remote, work its gantry.

    retake wire press start              retake wire press L2 B --hold 1
    retake wire press --ly 0.5 --hold 3  retake wire gantry lower
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger

from retake.errors import UserError
from retake.ros import qos
from retake.unitree.remote import BUTTONS

NAMESPACE = "/g1"
FIND_S = 3.0
PERIOD_S = 0.05
AXES = ("lx", "ly", "rx", "ry")
GANTRY = ("hang", "lower", "remove")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two commands."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = __doc__
    commands = parser.add_subparsers(dest="command", required=True)
    press = commands.add_parser("press", help="hold buttons and sticks of the remote, then let go")
    press.add_argument("buttons", nargs="*", metavar="BUTTON", help=", ".join(BUTTONS))
    press.add_argument("--hold", type=float, default=0.3, metavar="S", help="how long (%(default)s s)")
    for axis in AXES:
        press.add_argument(f"--{axis}", type=float, default=0.0, metavar="X", help="stick, -1 to 1")
    gantry = commands.add_parser("gantry", help="hang the robot up, lower it, take the rope off")
    gantry.add_argument("action", choices=GANTRY)


def run(args: argparse.Namespace) -> int:
    """Do it; exit code 0 when the robot was there."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("wire_command", namespace=NAMESPACE, context=context)
    executor = EventsExecutor(context=context)
    executor.add_node(node)
    try:
        if args.command == "press":
            _press(node, args)
        else:
            _work_gantry(node, executor, args.action)
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    return 0


def _press(node: Node, args: argparse.Namespace) -> None:
    unknown = [name for name in args.buttons if name not in BUTTONS]
    if unknown:
        raise UserError(f"the remote has no {', '.join(unknown)}; it has {', '.join(BUTTONS)}")
    sticks = [getattr(args, axis) for axis in AXES]
    if not all(-1.0 <= value <= 1.0 for value in sticks) or not 0.0 < args.hold <= 60.0:
        raise UserError(f"sticks {sticks} and hold {args.hold} s; allowed: -1 to 1, and up to 60 s")
    publisher = node.create_publisher(Joy, "sim/remote", qos.STREAM)
    _wait_for(lambda: publisher.get_subscription_count() > 0)
    held = Joy(axes=sticks, buttons=[int(name in args.buttons) for name in BUTTONS])
    end = time.monotonic() + args.hold
    while time.monotonic() < end:
        publisher.publish(held)
        time.sleep(PERIOD_S)
    publisher.publish(Joy(axes=[0.0] * len(AXES), buttons=[0] * len(BUTTONS)))
    time.sleep(PERIOD_S)  # let it leave this process


def _work_gantry(node: Node, executor: Any, action: str) -> None:
    client = node.create_client(Trigger, f"sim/gantry/{action}")
    _wait_for(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    executor.spin_until_future_complete(future, FIND_S)
    if not future.done():
        raise UserError("the robot's gantry does not answer; look at the log of g1_wire")
    print(f"gantry: {future.result().message}")


def _wait_for(is_there: Callable[[], bool]) -> None:
    end = time.monotonic() + FIND_S
    while not is_there():
        if time.monotonic() > end:
            raise UserError(f"no robot with a remote and a gantry in {NAMESPACE}; start one: retake up robot:=sim-wire")
        time.sleep(PERIOD_S)
