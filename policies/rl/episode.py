"""One episode as the learner takes it: what was seen, what the base proposed, what was executed, how it ended.

A safetensors file, complete or not there at all: actor and learner hand episodes over as such files, and the folder of
them is the replay on disk.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from policies.atomic import replacing
from policies.timeline import INTERVENTIONS, SEGMENTS

FORMAT = "1"
SUFFIX = ".episode.safetensors"
ENDS = ("success", "failure", "truncated")  # success and failure terminate; truncated was only cut off
KEEP_GRIPPER = 1  # of 0 close, 1 keep, 2 open


class EpisodeError(ValueError):
    """An episode that must not be learnt from; the text says what, what is allowed and what to do."""


@dataclass(frozen=True)
class About:
    """What must agree between actor, learner and base before an episode counts."""

    robot: str
    task: str
    channels: tuple[str, ...]  # of the action, in the order of its numbers
    observation: str  # how the observation is made, such as `state` or `features`
    base: str  # sha256 of the base policy's weights, or the name of a scripted one
    run: str  # which learning run; "": any
    action_range: tuple[float, ...] = ()  # what 1 means, in each channel's unit per step
    step_s: float = 0.0  # from one action to the next


@dataclass(frozen=True)
class RlEpisode:
    """n steps. float32: observation (n + 1, o); base, the base's action (n + 1, a), also after the last step, since a
    truncated episode goes on there; action (n, a), executed, after all clipping; reward (n,). uint8: segment (n,) in
    timeline.SEGMENTS; gripper (n,) 0 close, 1 keep, 2 open. Actions are normalised."""

    about: About
    observation: np.ndarray
    base: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    segment: np.ndarray
    gripper: np.ndarray
    end: str
    weights_version: int  # of the actor; 0: nothing learnt
    seed: int
    is_demo: bool = False  # all of it demonstrated

    def __len__(self) -> int:
        return len(self.action)

    @property
    def intervention(self) -> np.ndarray:
        """(n,) bool: a person moved the robot."""
        return np.isin(self.segment, [SEGMENTS.index(name) for name in INTERVENTIONS])

    def check(self) -> None:
        """Raises EpisodeError for what cannot be learnt from."""
        n, shapes = len(self.action), {name: getattr(self, name).shape for name in ARRAYS}
        width = len(self.about.channels)
        wanted = {"observation": (n + 1, *shapes["observation"][1:]), "base": (n + 1, width), "action": (n, width),
                  "reward": (n,), "segment": (n,), "gripper": (n,)}  # fmt: skip
        if wrong := [name for name in ARRAYS if shapes[name] != wanted[name]]:
            name = wrong[0]
            raise EpisodeError(f"{name} is {shapes[name]}; allowed: {wanted[name]}; record the episode again")
        if n == 0:
            raise EpisodeError("the episode has no step; allowed: 1 and more; record it again")
        if bad := [name for name in ("reward", "action", "base", "observation")
                   if not np.isfinite(getattr(self, name)).all()]:  # fmt: skip
            raise EpisodeError(f"{bad[0]} holds NaN or infinity; allowed: finite numbers; record the episode again")
        if self.end not in ENDS:
            raise EpisodeError(f"outcome {self.end!r}; allowed: {', '.join(ENDS)}; label the episode")
        if self.segment.max() >= len(SEGMENTS):
            number = int(self.segment.max())
            raise EpisodeError(f"segment {number} is unknown; allowed: 0 to {len(SEGMENTS) - 1}, {', '.join(SEGMENTS)}")
        if self.gripper.max() > 2:
            raise EpisodeError(f"gripper action {int(self.gripper.max())}; allowed: 0 close, 1 keep, 2 open")


ARRAYS = {"observation": np.float32, "base": np.float32, "action": np.float32, "reward": np.float32,
          "segment": np.uint8, "gripper": np.uint8}  # fmt: skip
FACTS = ("end", "weights_version", "seed", "is_demo")


def save_episode(path: Path, episode: RlEpisode) -> None:
    """Write the file in one step; it must end in SUFFIX."""
    episode.check()
    arrays = {name: np.ascontiguousarray(getattr(episode, name), kind) for name, kind in ARRAYS.items()}
    facts = {"about": asdict(episode.about)} | {name: getattr(episode, name) for name in FACTS}
    with replacing(path, durable=True) as part:
        save_file(arrays, part, metadata={"format": FORMAT, "episode": json.dumps(facts)})


def load_episode(path: Path) -> RlEpisode:
    """Read and check a file."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise EpisodeError(f"{path}: format {metadata.get('format')}; allowed: {FORMAT}; record it again")
            facts = json.loads(metadata["episode"])
            arrays = {name: file.get_tensor(name) for name in ARRAYS}
        episode = RlEpisode(about_from(facts["about"]), **arrays, **{name: facts[name] for name in FACTS})
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise EpisodeError(f"{path} is no episode ({error}); allowed: what an actor writes; remove it") from error
    try:
        episode.check()
    except EpisodeError as error:
        raise EpisodeError(f"{path}: {error}") from error
    return episode


def about_from(values: dict) -> About:
    """From JSON."""
    lists = {key: tuple(values[key]) for key in ("channels", "action_range")}
    return About(**{**values, **lists})


def check_about(found: About, wanted: About) -> None:
    """Raises EpisodeError when an episode belongs to another robot, task, base, observation or run."""
    for name in ("robot", "task", "channels", "observation", "base", "run", "action_range", "step_s"):
        have, want = getattr(found, name), getattr(wanted, name)
        if have != want and not (name == "run" and have == ""):
            raise EpisodeError(f"the episode has {name} {have!r}; allowed: {want!r}; use the episodes of this run")
