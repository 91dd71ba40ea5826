"""What is deployed, how it came to be, and what it cost: a folder of promoted policies with a ledger.

    current       a link to the deployed policy's folder
    <sha256[:12]> promoted policies, copied
    ledger.jsonl  one line per verdict and rollback
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from policies.rl.gate import Verdict
from policies.statistics import wilson_interval
from policies.timeline import INTERVENTIONS, segments

CURRENT, LEDGER = "current", "ledger.jsonl"


class LedgerError(ValueError):
    """What cannot be promoted or taken back; the text says what, what is allowed and what to do."""


class Deployed:
    """The promoted policies of one task; a kill at any instant leaves the former or the next one deployed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def current(self) -> Path | None:
        """The deployed policy's folder, None before the first."""
        link = self.folder / CURRENT
        return link.resolve() if link.exists() else None

    def entries(self) -> list[dict[str, Any]]:
        """The ledger's lines; a half-written last one is left out."""
        path = self.folder / LEDGER
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def judged(self, sha256: str, deployed: str) -> dict[str, Any] | None:
        """The verdict on a policy beside the one deployed then, if there was one: asked until it says yes, a test lets
        everything pass."""
        same = [e for e in self.entries() if e.get("sha256") == sha256 and e.get("deployed") == deployed]
        return same[-1] if same else None

    def record(self, policy: Path, sha256: str, deployed: str, verdict: Verdict | None, seeds: Sequence[int],
               effort: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
        """Write the verdict down, and deploy the policy where it may be; None: nothing is deployed to compare with."""
        self.settle()
        promoted = verdict is None or verdict.promoted
        entry: dict[str, Any] = {
            "kind": "promoted" if promoted else "refused", "sha256": sha256, "deployed": deployed,
            "policy": str(policy), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seeds": [min(seeds), max(seeds)] if seeds else [], "effort": effort,
        }  # fmt: skip
        if verdict is not None:
            entry |= {"margin": verdict.margin, "low": verdict.low, "paired": asdict(verdict.paired)}
            entry |= success(verdict, effort.get("operator_minutes", 0.0))
        self.folder.mkdir(parents=True, exist_ok=True)
        if promoted:
            self._copy(policy, sha256)
        self._write(entry)
        if promoted:
            self._point(sha256[:12])
        return entry

    def rollback(self) -> Path:
        """Deploy what was deployed before; returns its folder."""
        self.settle()
        names = [e["sha256"][:12] for e in self._standing()]
        if len(names) < 2:
            raise LedgerError(f"{self.folder} has no earlier policy to go back to; allowed: after two promotions")
        self._write({"kind": "rollback", "sha256": self._standing()[-1]["sha256"], "to": names[-2],
                     "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})  # fmt: skip
        self._point(names[-2])
        return self.folder / names[-2]

    def settle(self) -> None:
        """Finish what a kill has left between ledger and link: the ledger is right."""
        standing = self._standing()
        if standing and (self.current is None or self.current.name != standing[-1]["sha256"][:12]):
            self._point(standing[-1]["sha256"][:12])

    def _standing(self) -> list[dict[str, Any]]:
        """Promotions that were not taken back, oldest first."""
        standing: list[dict[str, Any]] = []
        for entry in self.entries():
            if entry["kind"] == "promoted":
                standing.append(entry)
            elif entry["kind"] == "rollback":
                standing.pop()
        return standing

    def _copy(self, policy: Path, sha256: str) -> None:
        target = self.folder / sha256[:12]
        if target.exists():
            return
        part = target.with_name(target.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(policy, part, ignore=shutil.ignore_patterns("training.safetensors*", "log.jsonl", ".cache"))
        os.replace(part, target)

    def _point(self, name: str) -> None:
        part = self.folder / f"{CURRENT}.part"
        part.unlink(missing_ok=True)
        part.symlink_to(name)
        os.replace(part, self.folder / CURRENT)

    def _write(self, entry: dict[str, Any]) -> None:
        with open(self.folder / LEDGER, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())


def success(verdict: Verdict, operator_minutes: float) -> dict[str, Any]:
    """Before and after with Wilson's intervals, and points gained per minute of the operator's."""
    paired, n = verdict.paired, verdict.paired.trials
    before, after = paired.both + paired.first_only, paired.both + paired.second_only
    gained = 100.0 * paired.difference / operator_minutes if operator_minutes else None
    return {"before": [before / n, *wilson_interval(before, n)], "after": [after / n, *wilson_interval(after, n)],
            "points_per_operator_minute": gained}  # fmt: skip


def effort(metas: Iterable[dict], camera_dt_s: float) -> dict[str, Any]:
    """What a person has put into recorded episodes, of which these are the episode.json: minutes in which one drove,
    and camera frames by segment."""
    seconds: dict[str, float] = {}
    for meta in metas:
        for span in segments(meta):
            seconds[span.name] = seconds.get(span.name, 0.0) + span.seconds
    minutes = sum(seconds.get(name, 0.0) for name in INTERVENTIONS) / 60.0
    return {"operator_minutes": round(minutes, 3),
            "frames": {name: round(s / camera_dt_s) for name, s in sorted(seconds.items())}}  # fmt: skip
