"""The G1's graph for `ros2 launch retake g1.launch.py robot:=sim task:=g1_box`. Arguments: `--show-args`.

Starts what retake/graph.py lists, as `retake up` does, with the same arguments; no node is named here.
"""

import sys

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from retake import graph, preflight
from retake.up import DEFAULT_ENVIRONMENT

RESPAWN_S = 1.0


def generate_launch_description() -> LaunchDescription:
    """Arguments, environment, nodes."""
    return LaunchDescription([
        *(_declare(name, argument) for name, argument in graph.ARGUMENTS.items()),
        *(SetEnvironmentVariable(name, value) for name, value in DEFAULT_ENVIRONMENT.items()),
        OpaqueFunction(function=_nodes),
    ])


def _declare(name: str, argument: graph.Argument) -> DeclareLaunchArgument:
    default = graph.as_text(argument.default)
    return DeclareLaunchArgument(name, default_value=default, description=argument.description,
                                 choices=argument.allowed or None)


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    words = {name: LaunchConfiguration(name).perform(context) for name in graph.ARGUMENTS}
    values = graph.read_arguments(words)
    nodes = graph.make_graph(values)
    preflight.check(values, nodes)
    return [_node(spec) for spec in nodes]


def _node(spec: graph.NodeSpec) -> Node:
    return Node(
        executable=sys.executable, arguments=["-m", spec.module], name=spec.name, namespace=spec.namespace,
        parameters=[dict(spec.parameters)], output="both",
        respawn=not spec.ends_graph, respawn_delay=RESPAWN_S, on_exit=Shutdown() if spec.ends_graph else None,
    )
