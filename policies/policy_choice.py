"""The policy that a person means: a checkpoint's folder, LeRobot's folder, or a class of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies.checkpoint import load_checkpoint
from policies.home import Home, load_home
from policies.predictor import Predictor


@dataclass(frozen=True)
class Chosen:
    """A policy in evaluation mode with what is known about it; `sha256` (hex) names it everywhere. `folder`: of a
    checkpoint of ours, which may be written anew while it is used."""

    policy: Predictor
    robot: str
    task: str
    sha256: str
    folder: Path | None = None
    home: Home | None = None


def choose(choice: str, robot: str, channels: tuple[str, ...], cameras: tuple[str, ...], mapping: str = "") -> Chosen:
    """Load and check what `choice` names, for a robot with these channels of action and state and these cameras.

    Raises:
        ValueError: it cannot be used, and why.
    """
    folder = Path(choice)
    checkpoint = load_checkpoint(folder, robot, channels)
    policy = checkpoint.policy
    chosen = Chosen(policy, checkpoint.robot, checkpoint.task, checkpoint.sha256, folder,
                    load_home(folder, policy.state_normaliser))
    unknown = [name for name in chosen.policy.config.cameras if name not in cameras]
    if unknown:
        raise ValueError(f"{choice} looks through {', '.join(unknown)}; {robot} has the cameras: {', '.join(cameras)}; "
                         "take a policy of this robot")
    return chosen
