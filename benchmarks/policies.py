"""Success of trained policies on 100 held-out seeds each, as `retake eval --one-process` measures it.

The policies are those of `build/policies/TASK/KIND`, trained by the commands in the README; a figure whose policy is
not there is not measured. Seeds that were run before with the same weights are not run again (build/bench/policies).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from policies.checkpoint import DESCRIPTION, load_checkpoint
from policies.trials import rate_text
from policies.verifier import load_verifier
from sim import parallel
from sim.evaluation import ResultFile, Settings, settings_of
from sim.evaluation_summary import compare, difference_text, summarise, worlds_of
from sim.tasks import HELD_OUT_SEED

TRAINED, OUT = Path("build/policies"), Path("build/bench/policies")
ARM_KINDS, TEACHERS, STUDENT = ("act", "diffusion", "flow"), ("flow", "diffusion"), "consistency"
SEEDS = range(HELD_OUT_SEED, HELD_OUT_SEED + 100)
CHOICE = range(HELD_OUT_SEED + 10_000, HELD_OUT_SEED + 10_030)  # to choose the best of several: not those it is told by
TRIES = 3
OTHERS = range(HELD_OUT_SEED + 10_000, HELD_OUT_SEED + 10_100)  # to learn from what tries in one world share


def act() -> dict[str, dict[str, Any]]:
    """ACT on arm_pick."""
    return _success("arm_pick_act_success", TRAINED / "arm_pick/act")


def diffusion() -> dict[str, dict[str, Any]]:
    """The diffusion policy on arm_pick."""
    return _success("arm_pick_diffusion_success", TRAINED / "arm_pick/diffusion")


def flow() -> dict[str, dict[str, Any]]:
    """Flow matching on arm_pick."""
    return _success("arm_pick_flow_success", TRAINED / "arm_pick/flow")


def g1_box_best() -> dict[str, dict[str, Any]]:
    """The best policy of g1_box, the shipped one among them, chosen on other seeds than it is measured on."""
    candidates = Path("policies/checkpoints/g1_box"), *sorted((TRAINED / "g1_box").glob("*"))
    found = [folder for folder in candidates if (folder / DESCRIPTION).is_file()]
    rates = {folder: evaluated(settings_of(str(folder)), CHOICE)["rate"] for folder in found}
    best = max(found, key=lambda folder: rates[folder])
    chosen = ", ".join(f"{folder.name} {100 * rate:.0f} %" for folder, rate in rates.items())
    return _success("g1_box_best_success", best, f"chosen on {len(CHOICE)} other seeds: {chosen}")


def onestep() -> dict[str, dict[str, Any]]:
    """How many points the one-step policy is behind its teacher, on the same seeds."""
    student = TRAINED / "arm_pick" / STUDENT
    if _is_missing("onestep_success_gap", student):
        return {}
    settings = settings_of(str(student))
    teachers = [found for kind in TEACHERS if (folder := TRAINED / "arm_pick" / kind).is_dir()
                if (found := settings_of(str(folder))).sha256 == _teacher_sha256(student)]
    if not teachers:
        print(f"onestep_success_gap: the teacher of {student} is not in {TRAINED / 'arm_pick'}: not measured")
        return {}
    figures = [evaluated(each) for each in (teachers[0], settings)]
    paired = compare(*figures)
    return {"onestep_success_gap": {
        "value": -100 * paired["difference"], "peer": f"{Path(teachers[0].policy).name} {rate_text(figures[0])}",
        "student": rate_text(figures[1]), "student_less_teacher": difference_text(paired),
        "sha256": [each["sha256"] for each in figures], "seeds": figures[0]["seeds"],
    }, "falls": _falls(figures)}  # fmt: skip


def retry() -> dict[str, dict[str, Any]]:
    """1 where success with up to three tries has the predicted one inside its 95 % interval, with the policy of
    arm_pick that fails most. Predicted from tries in other worlds; beside it, from the first tries in these as if
    tries were independent."""
    folder, key = TRAINED / "arm_pick/verifier", "retry_inside_interval"
    found = [each for kind in ARM_KINDS if ((each := TRAINED / "arm_pick" / kind) / DESCRIPTION).is_file()]
    if not found or not folder.is_dir():
        print(f"{key}: no policy in {TRAINED / 'arm_pick'}, or no {folder}: not measured")
        return {}
    verifier = load_verifier(folder)
    if not (verifier.false_positive.trials and verifier.false_negative.trials):
        print(f"{key}: {folder} was measured on no failures: not measured")
        return {}
    worst = min(found, key=lambda each: evaluated(settings_of(str(each)))["rate"])
    settings = settings_of(str(worst), verifier=str(folder), tries=TRIES)
    figures, worlds = evaluated(settings), worlds_of(evaluated(settings, OTHERS)["episodes"])
    predicted = worlds.retry_success(verifier.false_positive.value, verifier.false_negative.value, TRIES)
    independent = figures["retry"].pop("predicted")
    return {key: {
        "value": float(figures["low"] <= predicted <= figures["high"]),
        "peer": f"{rate_text(figures)}, predicted {100 * predicted:.1f} %, if tries were independent "
                f"{100 * independent:.1f} %", "policy": worst.name, "predicted": predicted, "independent": independent,
        "worlds": asdict(worlds), "other_seeds": [OTHERS[0], OTHERS[-1]],
        "sha256": [figures["sha256"], figures["verifier_sha256"]], "seeds": figures["seeds"], **figures["retry"],
    }, "falls": _falls([figures])}  # fmt: skip


@cache
def evaluated(settings: Settings, seeds: range = SEEDS) -> dict[str, Any]:
    """Figures over the seeds, one process a core."""
    result = ResultFile(OUT, settings)
    missing = result.missing(seeds)
    for line, film in parallel.in_processes(settings, missing, "failures", os.cpu_count() or 1) if missing else ():
        result.add(line, film)
    return summarise(settings, result, seeds)


def _success(key: str, folder: Path, peer: str | None = None) -> dict[str, dict[str, Any]]:
    if _is_missing(key, folder):
        return {}
    figures = evaluated(settings_of(str(folder)))
    kept = ("sha256", "seeds", "successes", "trials", "low", "high", "why", "time_to_success_s", "real_time_factor")
    told = {name: figures[name] for name in kept}
    return {key: {"value": figures["rate"], "peer": peer, "policy": str(folder), **told}, "falls": _falls([figures])}


def _is_missing(key: str, folder: Path) -> bool:
    if (folder / DESCRIPTION).is_file():
        return False
    print(f"{key}: {folder} holds no policy; train it as the README says: not measured")
    return True


def _teacher_sha256(student: Path) -> str:
    return str(load_checkpoint(student).train.get("teacher", ""))


def _falls(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"value": sum(each["falls"] for each in figures)}
