"""How every node runs: build it, serve its callbacks in one thread, end in one line when it cannot start.

The executor is driven by `spin_once`: `EventsExecutor.spin` without a deadline burns a core and calls nothing in
rclpy 7.1.6. Two more limits of that executor, both seen there: a subscription callback that asks for message info breaks
it, and a timer on ROS time needs /clock to tick; so our timers run on the steady clock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.experimental import EventsExecutor
from rclpy.node import Node

from retake.errors import UserError

STEADY = Clock(clock_type=ClockType.STEADY_TIME)  # for timers that must go on when /clock stands still


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Run one node until the context ends; the exit code is 0, or 1 when the node refused to start."""
    rclpy.init(args=list(args) if args is not None else None)
    try:
        try:
            node = make_node()
        except (UserError, ValueError, OSError) as error:
            print(f"{make_node.__name__}: {error}", file=sys.stderr, flush=True)
            return 1
        executor = EventsExecutor()
        executor.add_node(node)
        while rclpy.ok():
            executor.spin_once(timeout_sec=1.0)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except UserError as error:  # raised by a callback: the node must not go on
        print(f"{make_node.__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0
