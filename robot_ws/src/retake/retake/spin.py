"""How every node runs: build it, serve its callbacks in one thread, end in one line when it cannot start.

The executor is driven with a deadline and a future that never comes: `EventsExecutor.spin`, which has no deadline,
burns a core and calls nothing in rclpy 7.1.6, and `spin_once` costs twice as much for each message (68 against 35 µs,
seen with a publisher that hears itself). Another limit seen there: a subscription callback that asks for message info
breaks it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.task import Future

from retake.errors import UserError

STEADY = Clock(clock_type=ClockType.STEADY_TIME)  # for timers that must go on when /clock stands still


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Run one node until the context ends; the exit code is 0, or 1 when the node refused to start."""
    # rclpy's own handler ends the context, and the loop with it; Python's would raise in the middle of a callback
    signal.signal(signal.SIGINT, lambda *_: None)
    rclpy.init(args=list(args) if args is not None else None)
    try:
        try:
            node = make_node()
        except (ValueError, OSError) as error:
            raise UserError(str(error)) from error
        executor = EventsExecutor()
        executor.add_node(node)
        never = Future()
        while rclpy.ok():
            executor.spin_until_future_complete(never, 1.0)
    except UserError as error:  # also from a callback: the node must not go on
        print(f"{make_node.__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    except (ExternalShutdownException, RuntimeError):
        if rclpy.ok():
            raise  # else: the context ended, perhaps while the node was being built
    finally:
        rclpy.try_shutdown()
    return 0
