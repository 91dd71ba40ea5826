"""`retake teleop DEVICE`: one teleoperation device beside a graph that runs, in this terminal until Ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from controllers.rigs import RIGS
from retake.errors import UserError
from retake.graph import MODULES
from retake.teleop.choice import NODES, told_of
from retake.up import DEFAULT_ENVIRONMENT

DISCOVERY_S = 5.0  # nodes on this machine were heard after 0.3 s, on a busy one much later
SETTLE_S = 0.5  # after the first of them, for the others


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which device, and its parameters."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ("joy         gamepad, through `ros2 run joy joy_node`\n"
                     "spacemouse  3Dconnexion SpaceMouse\n"
                     "pose        geometry_msgs/PoseStamped on teleop/left_pose, teleop/right_pose\n"
                     "webxr       a headset's browser; host:=0.0.0.0 lets it in over the network\n"
                     "keyboard    this terminal\n"
                     "\nparameters of all: speed:=0.5, the share of the robot's speeds that a stick asks for")
    parser.add_argument("device", choices=NODES)
    parser.add_argument("parameters", nargs="*", metavar="name:=value", help="of the device's node")


def run(args: argparse.Namespace) -> int:
    """Find the graph, then be the device's node."""
    told = told_of(args.parameters, ":=")
    for name, value in DEFAULT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    rig, has_clock = find_graph()
    given = {"robot": rig, "use_sim_time": has_clock, **told}
    words = [word for name, value in given.items() for word in ("-p", f"{name}:={json.dumps(value)}")]
    if args.device == "keyboard":
        words += ["--log-level", "warn"]  # what it would say is in its line already
    module = importlib.import_module(MODULES[NODES[args.device]])
    return int(module.main(["--ros-args", "-r", f"__ns:=/{rig}", *words]))


def find_graph() -> tuple[str, bool]:
    """The rig of the graph that runs here, and whether it lives by a clock of its own.

    Raises:
        UserError: none runs, or several do.
    """
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("teleop_look", context=context, enable_rosout=False, start_parameter_services=False)
    try:
        end = time.monotonic() + DISCOVERY_S
        while not _rigs(node) and time.monotonic() < end:
            time.sleep(0.1)  # DDS finds the others in threads of its own
        time.sleep(SETTLE_S)
        rigs = _rigs(node)
        if len(rigs) != 1:
            found = f"{len(rigs)} robots run here ({', '.join(rigs)})" if rigs else "no robot's graph runs here"
            raise UserError(f"{found}; start one with `retake up`, on the same ROS_DOMAIN_ID")
        return rigs[0], node.count_publishers("/clock") > 0
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _rigs(node: Node) -> list[str]:
    """The robots whose authority runs."""
    known = node.get_node_names_and_namespaces()
    return sorted({namespace.strip("/") for name, namespace in known if name == "authority"} & set(RIGS))
