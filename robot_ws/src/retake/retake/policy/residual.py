"""Corrects what a frozen policy does, as it was learnt by `retake learn`: a node beside policy_server, never in a loop.

In, beside what observations are made of (retake/policy/observing.py): reference and provenance, action_chunk, policy
and episode/event. Out: `residual_action` (STREAM) for every observation of the learner's period, with its stamp, and
`residual` (LATCHED JSON: what is used). The authority adds it to the chunks within bounds and holds the switch,
`residual/on` and `residual/off` (retake/control/residual_input.py); without it the policy goes on alone. Where the
policy does not act, is another one than the residual was learnt on, or something is not finite, the residual action is
0. New weights in the run's folder take over between two episodes, when the policy has no authority.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from rclpy.node import Node
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from controllers.residual_player import JOINED, ResidualPlayer
from controllers.rigs import rig_of
from policies.inference import InferenceWorker
from policies.observation import Observation
from policies.policy_words import checkpoint_folder
from policies.residual import Residual, load_residual
from policies.rl.plans import Plans
from policies.rl.weights import NAMED, WEIGHTS_NAME
from retake.errors import UserError
from retake.policy.executed import ExecutedReferences
from retake.policy.observing import Observing
from retake.policy.replacement import Replacement
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.spin import STEADY, run

REPORT_S = 0.2


@dataclass(frozen=True)
class Parameters:
    """ROS parameters of the node."""

    residual: str = field(metadata={"description": "folder of a run of `retake learn`"})
    policy: str = field(metadata={"description": "folder of the checkpoint that it was learnt on"})
    robot: str = field(default="yam", metadata={"description": "robot that both must be for"})
    explore: bool = field(default=False, metadata={"description": "act with the noise of an actor that learns"})
    lockstep: bool = field(default=False, metadata={"description": "answer in the callback"})
    threads: int = field(default=1, metadata={"description": "CPU threads of torch"})


def chosen(parameters: Parameters) -> Residual:
    """The residual that they name, checked against the robot.

    Raises:
        ValueError: it must not act.
    """
    rig, layout = rig_of(parameters.robot), rig_of(parameters.robot).layout
    run_folder, base = checkpoint_folder(parameters.residual), checkpoint_folder(parameters.policy)
    residual = load_residual(run_folder, base, rig.name, layout, layout.channels, ResidualPlayer(layout).bound,
                             parameters.explore)
    camera_ns = round(rig.camera_dt * 1e9)
    if residual.step_ns < camera_ns or residual.step_ns % camera_ns:
        raise ValueError(f"{parameters.residual} was learnt with steps of {residual.step_ns / 1e6:g} ms; allowed: "
                         f"whole camera periods of {camera_ns / 1e6:g} ms; learn with those")
    return residual


class ResidualNode(Node):
    """Hands observations to the residual, publishes what it answers."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("residual", **node_options)
        self.parameters = parameters = declare(self, Parameters)
        self._rig = rig = rig_of(parameters.robot)
        torch.set_num_threads(parameters.threads)
        self._step_ns = 0  # from one observation to the next; 0: not known yet
        self._residual = self._load()
        self._step_ns = self._residual.step_ns
        self._base16 = ""  # whose chunks come
        camera_ns, reference_ns = round(rig.camera_dt * 1e9), round(rig.reference_dt * 1e9)
        self._plans = Plans(rig.layout.channels, self._step_ns, reference_ns)
        self._due_ns = self._step_ns - reference_ns  # the last tick of a step has it whole

        self.diagnostics = Diagnostics(self)
        self._action = self.create_publisher(JointTrajectory, "residual_action", qos.SEND)
        self._said = self.create_publisher(String, "residual", qos.CHANGES)
        self._worker = None if parameters.lockstep else InferenceWorker(self._answer)
        self._waiting: Observation | None = None  # in lockstep, for its tick and the chunk that is played
        self._refusal = ""  # the worker writes it, the report timer says it
        self._executed = ExecutedReferences(self, rig, self.diagnostics, self._answer_waiting)
        self.create_subscription(JointTrajectory, "action_chunk", self._on_chunk, qos.STREAM)
        self.create_subscription(String, "policy", self._on_policy, qos.LATCHED)
        self._observing = Observing(self, rig, self.diagnostics, self._on_observation, self._on_restart,
                                    frames=self._step_ns // camera_ns)
        self._observing.wanted = self._residual.base.config.cameras
        self._observing.subscribe(self._observing.wanted, parameters.lockstep)
        self.create_timer(REPORT_S, self._report, clock=STEADY)
        weights = checkpoint_folder(parameters.residual) / WEIGHTS_NAME
        self._replacement = Replacement(self, self.diagnostics, weights, self._load, self._begin)
        self._begin(self._residual)

    def _load(self) -> Residual:
        """Checked and warm; also called by the thread of Reload."""
        residual = chosen(self.parameters)
        if self._step_ns not in (0, residual.step_ns):
            raise ValueError(f"its steps are {residual.step_ns / 1e6:g} ms now; allowed: {self._step_ns / 1e6:g} ms as "
                             "before; start the graph again for another run")
        residual.warm_up(self._rig.home_action)
        return residual

    def _begin(self, residual: Residual) -> None:
        """These weights act from now on."""
        self._residual, published = residual, residual.published
        about = published.about
        told = {"sha256": published.sha256[:NAMED], "version": published.version,
                "base": about.base[:NAMED], "run": about.run, "explores": self.parameters.explore,
                "asks": residual.asks, "period_ns": residual.step_ns}
        self._said.publish(String(data=json.dumps(told)))
        self.diagnostics.set("residual_sha256", published.sha256)
        self.diagnostics.set("residual_version", published.version)
        self.get_logger().info(f"residual {published.sha256[:12]} after {published.version} updates on "
                               f"{about.base[:12]}, every {residual.step_ns / 1e6:g} ms, at most "
                               f"{1000 * residual.bound[0]:.1f} mm{', asks its critics' if residual.asks else ''}")

    # Inputs

    def _on_observation(self, observation: Observation) -> None:
        if self._worker is not None:
            return self._worker.submit(observation)
        self._waiting = observation
        self._answer_waiting()

    def _on_restart(self) -> None:
        self._executed.restart()
        self._waiting = None
        if self._worker is not None:
            self._worker.clear()

    def _on_chunk(self, message: JointTrajectory) -> None:
        try:
            offsets_ns, actions = conversions.chunk_from(message, self._rig)
        except ValueError as error:
            return self.diagnostics.refuse("action_chunk", str(error))
        self._plans.add(conversions.stamp_ns(message.header.stamp), offsets_ns, actions)
        self._answer_waiting()

    def _on_policy(self, message: String) -> None:
        self._base16 = message.data
        base = self._residual.published.about.base[:NAMED]
        self.diagnostics.trouble("base", None if message.data == base else
                                 f"the policy is {message.data}, the residual is for {base}: it corrects nothing")

    # Answers

    def _answer_waiting(self) -> None:
        """In lockstep: when what the authority plays at the observation's tick is known."""
        waiting = self._waiting
        if waiting is None or not self._executed.has(waiting.state_stamp_ns):
            return
        played = int(self._executed.upto(waiting.state_stamp_ns).chunk_stamps_ns[-1])
        if played == 0 or self._plans.has(played):
            self._waiting = None
            self._answer(waiting)

    def _answer(self, observation: Observation) -> None:
        """Publish at once, from the worker in real time, as policy_server does."""
        residual, stamp_ns = self._residual, observation.stamp_ns
        about = residual.published.about
        try:
            displacement = self._displacement(residual, observation)
        except ValueError as error:
            self._refusal, displacement = str(error), np.zeros(self._rig.layout.rate_dim)
        if self._observing.world_start_ns <= stamp_ns:
            name = f"{about.base[:NAMED]}{JOINED}{residual.published.sha256[:NAMED]}"
            self._action.publish(
                conversions.residual_message(displacement, self._due_ns, stamp_ns, name, self._rig))

    def _displacement(self, residual: Residual, observation: Observation) -> np.ndarray:
        """(rate_dim,); 0 where the policy that it was learnt on does not act."""
        executed = self._executed.upto(observation.state_stamp_ns)
        if len(executed.stamps_ns) and self._base16 == residual.published.about.base[:NAMED]:
            proposal = self._plans.proposal(observation, executed)
            if proposal is not None and proposal.plays:
                return residual.displacement(observation, proposal)
        return np.zeros(self._rig.layout.rate_dim)

    def _report(self) -> None:
        self._observing.report()
        refusal, self._refusal = self._refusal, ""
        if refusal:
            self.diagnostics.refuse("observation", refusal)
        if self._worker is not None and not self._worker.is_alive:
            raise UserError("the residual has failed; its reason is above; this node starts again")
        self._replacement.report()

    def destroy_node(self) -> None:
        if self._worker is not None:
            self._worker.close()
        super().destroy_node()


def main() -> int:
    return run(ResidualNode)


if __name__ == "__main__":
    sys.exit(main())
