"""World and controller in one process, in the order in which the graph's nodes answer each other in lockstep.

At every control step the controller turns the newest sensors and reference into a joint command. Every REFERENCE_DT the
reference is moved towards the target, at most at ACTION_SPEED, and reaches the controller one control step later.
"""

from __future__ import annotations

import numpy as np

from controllers import channels, g1
from controllers.g1_controller import G1Controller, Sensors
from sim.g1_world import G1World

REFERENCE_STEPS = round(g1.REFERENCE_DT / g1.CONTROL_DT)


class ControlLoop:
    """Steps `world` under its own controller; `reset` it whenever the world was."""

    def __init__(self, world: G1World) -> None:
        self.world = world
        self.controller = G1Controller()
        self.reset()

    def reset(self) -> None:
        """Start from the pose that the world's robot has: one control step, held there."""
        self.controller.reset()
        self.steps = 0
        self.clamped: list[str] = []  # channels slowed at the newest reference
        self.sensors: Sensors = self.world.sensors()
        self._command = self.controller.step(self.sensors, None)
        self.reference = channels.validated(self.measured_action)

    @property
    def measured_action(self) -> np.ndarray:
        """(17,) the pose the robot has, in ACTION_CHANNELS."""
        action = self.controller.measured_action
        assert action is not None  # reset has stepped the controller
        return action.copy()

    @property
    def reference_due(self) -> bool:
        """True when the next `advance` takes a new target."""
        return self.steps % REFERENCE_STEPS == 0

    def advance(self, target: np.ndarray) -> None:
        """One CONTROL_DT. `target` (17,) in ACTION_CHANNELS counts when `reference_due`.

        After it `sensors` and the controller's `measured_action` belong to the new time.
        """
        if self.reference_due:
            self.reference, self.clamped = channels.step_towards(self.reference, target, g1.REFERENCE_DT)
        self.world.step(self._command)
        self.steps += 1
        self.sensors = self.world.sensors()
        self._command = self.controller.step(self.sensors, self.reference)
