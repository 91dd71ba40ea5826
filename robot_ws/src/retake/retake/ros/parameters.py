"""A node's parameters are one frozen dataclass; `declare` makes them read-only ROS parameters and builds it."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.node import Node

from retake.errors import UserError

T = TypeVar("T")
_OF_ROS = ("use_sim_time", "start_type_description_service")  # declared by rclpy itself


def declare(node: Node, kind: type[T]) -> T:
    """Declare every field of the dataclass `kind` and return it filled from the node's overrides.

    A field's metadata may hold `description`. The dataclass validates itself and raises ValueError.

    Raises:
        UserError: an unknown parameter, a missing one, a wrong type, or a value that `kind` refuses.
    """
    described: Any = kind  # a dataclass; typeshed has no public name for that
    names = [field.name for field in fields(described)]
    unknown = sorted(set(node._parameter_overrides) - set(names) - set(_OF_ROS))
    unknown = [name for name in unknown if not name.startswith("qos_overrides")]
    if unknown:
        raise UserError(f"{node.get_name()} has no parameter {', '.join(unknown)}; it has: {', '.join(names)}")
    values: dict[str, Any] = {}
    for field in fields(described):
        if field.default is MISSING and field.name not in node._parameter_overrides:
            raise UserError(f"{node.get_name()} needs the parameter {field.name}; set it with -p {field.name}:=...")
        default = None if field.default is MISSING else field.default
        descriptor = ParameterDescriptor(
            description=field.metadata.get("description", ""), read_only=True, dynamic_typing=default is None
        )
        try:
            values[field.name] = node.declare_parameter(field.name, default, descriptor).value
        except InvalidParameterTypeException as error:
            given = node._parameter_overrides[field.name].value
            raise UserError(
                f"{node.get_name()}: parameter {field.name} is {given!r}, allowed is a {type(default).__name__} "
                f"such as {default!r}"
            ) from error
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{node.get_name()}: {error}") from error
