"""A learning run as a folder, where actor and learner meet: either may be killed at any moment, or be elsewhere.

    run.json                     config and what the episodes must belong to
    demos/*.episode.safetensors  demonstrations, learnt from first
    episodes/*                   what actors write, learnt from in the order of their names
    refused/*                    episodes that cannot be learnt from, each with the reason in a text file
    actor.safetensors            the newest weights
    learner.safetensors          the learner's state
    log.jsonl                    one line per episode, as the state has them
    learner.lock                 held by the learner at work
    NUMBER.lock                  held by the actor that makes the episode of this number
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from policies.atomic import replace_file
from policies.rl.config import RlConfig, from_dict, to_dict
from policies.rl.deployed import Deployed
from policies.rl.episode import (
    SUFFIX,
    About,
    EpisodeError,
    RlEpisode,
    about_from,
    check_about,
    load_episode,
    save_episode,
)
from policies.rl.goals import goals
from policies.rl.learner import Learner
from policies.rl.learner_state import STATE_NAME, load_learner, save_learner
from policies.rl.trust import Trust, acted_alone, trust
from policies.rl.weights import publish

RUN_NAME, LOG_NAME, LOCK_NAME = "run.json", "log.jsonl", "learner.lock"


class RunError(ValueError):
    """A run that cannot go on; the text says what, what is allowed and what to do."""


class RunFolder:
    """Where the files of a run are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.demos, self.episodes, self.refused = path / "demos", path / "episodes", path / "refused"

    def start(self, config: RlConfig, about: About) -> None:
        """Make the folder; one that holds a run already must hold this one."""
        for folder in (self.demos, self.episodes, self.refused):
            folder.mkdir(parents=True, exist_ok=True)
        wanted = {"config": to_dict(config), "about": asdict(about)}
        path = self.path / RUN_NAME
        if path.exists():
            have_config, have_about = self.read()
            check_about(have_about, about)
            if have_config != config:
                raise RunError(f"{self.path} holds a run with another config; allowed: the same arguments again, or "
                               "another folder")  # fmt: skip
            return
        replace_file(path, json.dumps(wanted, indent=1) + "\n")

    def read(self) -> tuple[RlConfig, About]:
        """What the run was started with."""
        path = self.path / RUN_NAME
        try:
            stored = json.loads(path.read_text())
            about = about_from(stored["about"])
            return from_dict(stored["config"]), about
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise RunError(f"{self.path} holds no run ({error}); allowed: a folder with {RUN_NAME}; start one with "
                           "`retake learn`") from error  # fmt: skip

    @contextmanager
    def alone(self) -> Iterator[None]:
        """As the only learner here, until the end of the block or of the process.

        Raises:
            RunError: there is one: two would act on each other's weights and replace each other's state.
        """
        with open(self.path / LOCK_NAME, "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"a learner is at work in {self.path}; allowed: one; wait for it, or choose another "
                               "--out") from None  # fmt: skip
            yield

    def write(self, number: int, episode: RlEpisode) -> Path:
        """Hand an episode to the learner."""
        path = self.episodes / f"{number:06d}{SUFFIX}"
        save_episode(path, episode)
        return path

    def next_number(self) -> int:
        """For the next episode: one above the newest, refused ones included."""
        names = [p.name for folder in (self.episodes, self.refused) for p in folder.glob(f"*{SUFFIX}")]
        numbers = (name.removesuffix(SUFFIX) for name in names)
        return max((int(number) for number in numbers if number.isdigit()), default=-1) + 1  # others were recorded

    @contextmanager
    def claimed(self) -> Iterator[int]:
        """The number of an episode that no other actor makes until the end of the block or of the process."""
        number = self.next_number()
        while True:
            path = self.path / f"{number:06d}.lock"
            with open(path, "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    number += 1
                    continue
                if number < (free := self.next_number()):  # its actor wrote it while we came
                    number = free
                    continue
                yield number
                return path.unlink()

    def log(self) -> list[dict[str, Any]]:
        """The log's lines; a half-written last one is left out."""
        path = self.path / LOG_NAME
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]


class LearnerRun:
    """The learner's side of a run; made anew from the same folder it goes on exactly where it was."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        config, self.about = folder.read()
        self.learner = Learner(config)
        self.journal: list[dict[str, Any]] = []  # the log's lines, which are part of the state
        demos = sorted(folder.demos.glob(f"*{SUFFIX}"))
        demonstrated = [self._checked(path) for path in demos]
        if demos and config.pose_dim:
            seen = [episode.observation for episode in demonstrated if episode.end == "success"]
            self.learner.actor.show_by(*goals(seen, config.pose_dim, config.behind_dim))
        for episode in demonstrated:
            self.learner.replay.add(self._shown(episode))
        self._demos = [path.name for path in demos]
        if (folder.path / STATE_NAME).exists():
            self._resume()
        else:
            publish(folder.path, self.learner, self.about)
        self._log_path = folder.path / LOG_NAME
        self._log_path.write_text("".join(json.dumps(line) + "\n" for line in self.journal))

    def _resume(self) -> None:
        self.journal = load_learner(self.folder.path / STATE_NAME, self.learner, self._demos)
        for line in self.journal:
            path = self.folder.episodes / line["episode"]
            if not path.exists():
                raise RunError(f"{path} is gone, but the learner has learnt from it; allowed: all episodes of the run; "
                               "put it back or start a new run")  # fmt: skip
            self.learner.replay.add(self._shown(load_episode(path)))

    @property
    def trust(self) -> Trust:
        """After all episodes so far."""
        return trust(self.journal) if self.learner.config.unanimous else Trust()

    @property
    def deployed(self) -> Deployed:
        """What it publishes now."""
        return Deployed(self.learner.actor, self.learner.critic, self.trust.deployed)

    def _shown(self, episode: RlEpisode) -> RlEpisode:
        seen = self.learner.actor.shown(torch.from_numpy(episode.observation))
        return replace(episode, observation=seen.numpy())

    def poll(self) -> int:
        """Learn from every new episode, save and publish after each; how many there were."""
        known = {line["episode"] for line in self.journal}
        new = [path for path in sorted(self.folder.episodes.glob(f"*{SUFFIX}")) if path.name not in known]
        return sum(self.take(path) for path in new)

    def take(self, path: Path) -> bool:
        """Learn from one episode, or move it to `refused` with the reason."""
        try:
            episode = self._checked(path)
        except EpisodeError as error:
            os.replace(path, self.folder.refused / path.name)
            (self.folder.refused / f"{path.name}.txt").write_text(f"{error}\n")
            print(f"refused {path.name}: {error}", flush=True)
            return False
        measured = self.learner.learn(self._shown(episode))
        line = {"episode": path.name, "steps": len(episode), "online_steps": self.learner.replay.online_steps,
                "end": episode.end, "seed": episode.seed, "alone": acted_alone(self.journal, episode.weights_version),
                "weights_version": episode.weights_version, "updates": self.learner.n_updates,
                "interventions": float(episode.intervention.mean()), **measured}  # fmt: skip
        self.journal.append(line)
        after = self.trust
        line["next_alone"] = after.explored
        save_learner(self.folder.path / STATE_NAME, self.learner, self.journal, self._demos)
        publish(self.folder.path, self.learner, self.about, after)
        with open(self._log_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return True

    def _checked(self, path: Path) -> RlEpisode:
        episode = load_episode(path)
        check_about(episode.about, self.about)
        if episode.observation.shape[1] != self.learner.config.observation_dim:
            raise EpisodeError(f"{path}: observations of {episode.observation.shape[1]} numbers; allowed: "
                               f"{self.learner.config.observation_dim}; record with this run's base")  # fmt: skip
        return episode
