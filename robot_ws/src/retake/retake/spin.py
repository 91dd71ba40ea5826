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
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from retake.errors import UserError

STEADY = Clock(clock_type=ClockType.STEADY_TIME)  # for timers that must go on when /clock stands still
NOTICE_S = 0.2  # a node that nothing happens to notices a signal so late


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Run one node until SIGINT or SIGTERM; the exit code is 0, or 1 when the node refused to start.

    rclpy's own signal handlers are off: they end the context in the middle of a callback, which then fails.
    """
    ended, is_built = Future(), False

    def on_signal(*_: object) -> None:
        if not is_built:
            raise KeyboardInterrupt
        ended.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        rclpy.init(args=list(args) if args is not None else None, signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = make_node()
        except (ValueError, OSError) as error:
            raise UserError(str(error)) from error
        executor = EventsExecutor()
        executor.add_node(node)
        is_built = True
        while not ended.done() and rclpy.ok():
            executor.spin_until_future_complete(ended, NOTICE_S)
    except UserError as error:  # also from a callback: the node must not go on
        print(f"{make_node.__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):  # the latter: the node has ended its own context, done
        pass
    finally:
        rclpy.try_shutdown()
    return 0
