"""How every node runs: build it, serve its callbacks in one thread, end in one line when it cannot start.

The executor is driven with a deadline and a future that never comes: `EventsExecutor.spin`, which has no deadline,
burns a core and calls nothing in rclpy 7.1.6, and `spin_once` costs twice as much for each message (68 against 35 µs,
seen with a publisher that hears itself). Another limit seen there: a subscription callback that asks for message info
breaks it.
"""

from __future__ import annotations

import gc
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
from retake.ros import realtime

STEADY = Clock(clock_type=ClockType.STEADY_TIME)  # for timers that must go on when /clock stands still
NOTICE_S = 0.2  # a node that nothing happens to notices a signal so late


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None, priority: int = 0) -> int:
    """Run one node until SIGINT or SIGTERM; the exit code is 0, or 1 when the node refused to start.

    rclpy's own signal handlers are off: they end the context in the middle of a callback, which then fails. What a node
    has made until it runs stays: looking through it for garbage stopped nodes for 80 to 390 ms on 2 busy cores.

    Args:
        make_node: the node's class; ValueError, OSError and UserError from it are refusals to start.
        args: as on the command line; None takes those.
        priority: one of retake.ros.realtime, for nodes of the control loop; it counts in real time only.
    """
    is_built = has_ended = False
    turn = Future()  # a new one for each turn: the executor adds a callback to it each time, and never removes one

    def on_signal(*_: object) -> None:
        nonlocal has_ended
        if not is_built:
            raise KeyboardInterrupt
        has_ended = True
        turn.set_result(None)

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
        gc.collect()
        gc.freeze()
        if priority and not _is_lockstep(node):
            realtime.prefer(node, priority)
        is_built = True
        while not has_ended and rclpy.ok():
            turn = Future()
            executor.spin_until_future_complete(turn, NOTICE_S)
    except UserError as error:  # also from a callback: the node must not go on
        print(f"{make_node.__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):  # the latter: the node has ended its own context, done
        pass
    finally:
        rclpy.try_shutdown()
    return 0


def _is_lockstep(node: Node) -> bool:
    return node.has_parameter("lockstep") and bool(node.get_parameter("lockstep").value)
