"""World and controller in one process, in the order in which the graph's nodes answer each other in lockstep.

At every control step the controller turns the newest sensors and reference into a joint command. Every reference_dt the
reference is moved towards the target, at most at the layout's speed, and reaches the controller one control step later.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from controllers.joint_command import JointCommand
from controllers.rigs import Rig


class Controller(Protocol):
    """What G1Controller and ArmController have in common."""

    def reset(self) -> None: ...
    def step(self, sensors: Any, action: np.ndarray | None, dt: float = ...) -> JointCommand: ...
    @property
    def measured_action(self) -> np.ndarray | None: ...


class World(Protocol):
    """What G1World and ArmWorld have in common."""

    rig: Rig

    def make_controller(self) -> Any: ...
    def step(self, command: JointCommand | None) -> None: ...
    def sensors(self) -> Any: ...
    def render_state(self) -> np.ndarray: ...


class ControlLoop:
    """Steps `world` under its own controller; `reset` it whenever the world was."""

    def __init__(self, world: World) -> None:
        self.world, self.rig = world, world.rig
        self.controller: Controller = world.make_controller()
        self._reference_steps = round(self.rig.reference_dt / self.rig.control_dt)
        self.reset()

    def reset(self) -> None:
        """Start from the pose that the world's robot has: one control step, held there."""
        self.controller.reset()
        self.steps = 0
        self.clamped: list[str] = []  # channels slowed at the newest reference
        self.sensors = self.world.sensors()
        self._command = self.controller.step(self.sensors, None)
        self.reference = self.rig.layout.validated(self.measured_action)

    @property
    def measured_action(self) -> np.ndarray:
        """(dim,) the pose the robot has, in the rig's channels."""
        action = self.controller.measured_action
        assert action is not None  # reset has stepped the controller
        return action.copy()

    @property
    def reference_due(self) -> bool:
        """True when the next `advance` takes a new target."""
        return self.steps % self._reference_steps == 0

    def advance(self, target: np.ndarray) -> None:
        """One control_dt. `target` (dim,) in the rig's channels counts when `reference_due`.

        After it `sensors` and the controller's `measured_action` belong to the new time.
        """
        if self.reference_due:
            layout, dt = self.rig.layout, self.rig.reference_dt
            self.reference, self.clamped = layout.step_towards(self.reference, target, dt)
        self.follow(self.reference)

    def follow(self, reference: np.ndarray) -> None:
        """One control_dt with a reference (dim,) that somebody else has limited already, as the authority does."""
        self.reference = reference
        self.world.step(self._command)
        self.steps += 1
        self.sensors = self.world.sensors()
        self._command = self.controller.step(self.sensors, self.reference)
