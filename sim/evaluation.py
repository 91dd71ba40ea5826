"""Evaluation in one process: what is asked of a policy, one seed of it, and the file that remembers every seed.

What a seed gives depends on the settings and the seed alone, so it does not matter which process or machine runs it, in
which order, or in how many sittings.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from policies.checkpoint import git_hash
from policies.execution import ChunkExecution
from policies.policy_choice import Chosen, User, choose
from policies.verifier import load_verifier
from sim.film import Film
from sim.retry import run_with_retries
from sim.rollout import LATENCY_S, Rollout
from sim.tasks import TASKS, task_spec

FILMS = ("none", "failures", "all")


@dataclass(frozen=True)
class Settings:
    """What is evaluated and how. The hashes name policy and verifier; `policy` (see policies/policy_choice.py) and
    `verifier` (a folder, or nothing) are only where they were found. `execution`: how chunks follow each other, see
    policies/execution.py; empty: the policy's own way. `tries`: see sim/retry.py."""

    policy: str
    task: str
    sha256: str
    latency_s: float = LATENCY_S
    noise: bool = False
    execution: str = ""
    tries: int = 1
    verifier: str = ""
    verifier_sha256: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """All that outcomes depend on."""
        return {name: value for name, value in asdict(self).items() if name not in ("policy", "verifier")}

    @property
    def name(self) -> str:
        """Short, another one for other settings."""
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()
        return f"{self.task}-{self.sha256[:12]}-{digest[:6]}"


def settings_of(policy: str, task: str = "", verifier: str = "", **how: Any) -> Settings:
    """Settings for a policy; `task`: by default the one that a checkpoint of ours was trained for; `verifier`: needed
    for several tries.

    Raises:
        ValueError: the policy cannot be used, or no task is known.
    """
    task = task or choose(policy).task
    if not task:
        raise ValueError(f"{policy} does not say which task it is for; write --task with one of: {', '.join(TASKS)}")
    settings = Settings(policy, task, chosen_for(policy, task).sha256, verifier=verifier, **how)
    if (settings.tries > 1) != bool(verifier) or settings.tries < 1:
        raise ValueError(f"--tries {settings.tries} {'with' if verifier else 'without'} --verifier; allowed: one try "
                         "without, or several with one")
    if not verifier:
        return settings
    return replace(settings, verifier_sha256=load_verifier(Path(verifier), task_spec(task).rig.name, task).sha256)


def chosen_for(policy: str, task: str) -> Chosen:
    """The policy, checked for the robot of the task."""
    rig = task_spec(task).rig
    return choose(policy, User(rig.name, rig.layout.channels, rig.cameras, rig.home_action))


class Evaluator:
    """Runs seeds one after the other; world, cameras and policy are built once. Stays in the thread that made it."""

    def __init__(self, settings: Settings, films: str = "none") -> None:
        """`films`: of which episodes there shall be one, see FILMS."""
        torch.set_num_threads(1)  # sums of several threads would depend on how many there are
        chosen = chosen_for(settings.policy, settings.task)
        if chosen.sha256 != settings.sha256:
            raise ValueError(f"{settings.policy} has changed since the evaluation began; start it again")
        self._verifier = load_verifier(Path(settings.verifier)) if settings.verifier else None
        if self._verifier is not None and self._verifier.sha256 != settings.verifier_sha256:
            raise ValueError(f"{settings.verifier} has changed since the evaluation began; start it again")
        self._tries = settings.tries
        self._execution = ChunkExecution(chosen.policy, settings.execution)
        self._rollout = Rollout(settings.task, chosen.policy.config.cameras, settings.latency_s, settings.noise)
        self._films, self._film = films, Film(self._rollout.drawing)
        self._rollout.on_frame = self._film.add if films != "none" else None

    def run(self, seed: int) -> tuple[dict[str, Any], bytes]:
        """One line of the result file, and an MP4 or nothing."""
        began = time.perf_counter()
        self._film.clear()
        result, tries = run_with_retries(self._rollout, self._execution, self._verifier, seed, self._tries)
        line = {name: getattr(result, name)
                for name in ("seed", "outcome", "why", "time_s", "held_ticks", "refused", "refusal")}
        line |= {"tries": [asdict(each) for each in tries], "wall_s": round(time.perf_counter() - began, 3)}
        is_shown = self._films == "all" or (self._films == "failures" and result.outcome != "success")
        return line, self._film.encoded() if is_shown else b""

    def close(self) -> None:
        """Gives the OpenGL context back."""
        self._rollout.close()


class ResultFile:
    """One JSON line per seed under a first line that says what was evaluated. Lines are appended whole, so a process
    that is killed loses the seeds that it was running and no others."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Opens or begins the file of these settings in `folder`.

        Raises:
            ValueError: what is there is no result file of these settings.
        """
        self.path = Path(folder) / f"{settings.name}.jsonl"
        self.films = Path(folder) / "films" / settings.name
        self.lines: dict[int, dict[str, Any]] = {}
        self.codes: list[str] = []  # versions of the code that contributed
        if self.path.is_file():
            self._read(settings)
        self._begin(settings)

    def _begin(self, settings: Settings) -> None:
        """Say which code the lines from here on come from."""
        code = git_hash()
        if self.codes[-1:] != [code]:
            self.codes.append(code)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append({"settings": settings.identity, "code": code})

    def _read(self, settings: Settings) -> None:
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:  # torn by a kill or a full disk
            os.truncate(self.path, len(whole))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            heads = [line for line in lines if "settings" in line]
            self.lines = {line["seed"]: line for line in lines if "seed" in line}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is damaged ({error}); delete it to run its seeds again") from error
        if any(head["settings"] != settings.identity for head in heads) or (lines and not heads):
            raise ValueError(f"{self.path} is of another evaluation; delete it or choose another --out")
        self.codes = [head["code"] for head in heads]

    def missing(self, seeds: Iterable[int]) -> list[int]:
        """The seeds that have no line yet."""
        return [seed for seed in seeds if seed not in self.lines]

    def add(self, line: Mapping[str, Any], film: bytes) -> None:
        """A seed's outcome; its film goes to disk first, so that a line's film is there."""
        line = dict(line)
        if film:
            self.films.mkdir(parents=True, exist_ok=True)
            path = self.films / f"{line['seed']}.mp4"
            path.write_bytes(film)
            line["film"] = str(path.relative_to(self.path.parent))
        self._append(line)
        self.lines[line["seed"]] = line

    def _append(self, line: Mapping[str, Any]) -> None:
        with open(self.path, "ab") as file:  # O_APPEND and one write
            file.write((json.dumps(line) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
