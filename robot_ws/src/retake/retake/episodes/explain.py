"""`retake explain EPISODE --at T`: who commanded at a moment, from what, what was limited, what jumped."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from controllers.rigs import rig_of
from policies.episode_meta import read_meta
from policies.explanation import Explanation, Motors, explain
from retake.episodes.chosen import chosen_episode
from retake.errors import UserError

STAMP_FROM = 1e6  # numbers from here on are stamps: an episode of eleven days does not exist
DIFFERENT = 1e-4  # channels that differ less are the same to a person


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The episode and the moment."""
    parser.add_argument("episode", help="folder of the episode, or its name as `retake episodes` lists it")
    parser.add_argument("--at", required=True, metavar="T",
                        help="seconds from the episode's start; or a ROS stamp, in ns (1764108500123456789) or in "
                             "seconds (1764108500.123)")
    parser.add_argument("--json", action="store_true", help="everything, for programs")


def run(args: argparse.Namespace) -> int:
    """Print the explanation."""
    folder = chosen_episode(args.episode)
    layout = rig_of(read_meta(folder)["robot"]).layout
    limits = {part.name: float(layout.acceleration[part.channels.start]) for part in layout.parts}
    explanation = explain(folder, read_time(args.at), limits)
    if args.json:
        print(json.dumps(_finite(asdict(explanation)), indent=1, allow_nan=False))
    else:
        print("\n".join(lines(explanation)))
    return 0


def read_time(word: str) -> float | int:
    """Seconds of the episode as a float, or a stamp in ns as an int."""
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise UserError(f"--at {word!r} is no time; allowed: seconds from the episode's start, or a stamp; write "
                        "--at 3.5")
    if abs(seconds) < STAMP_FROM:
        return seconds
    whole, _, fraction = word.partition(".")
    try:
        return int(whole) * 10**9 + int(f"{fraction:0<9.9}") if fraction else int(whole)
    except ValueError:
        raise UserError(f"--at {word!r} cannot be read as a stamp; write whole ns, or seconds as 12.345") from None


def lines(found: Explanation) -> Iterator[str]:
    """The explanation as a person reads it."""
    tick = found.tick
    yield f"{found.episode} at {found.at_s:.3f} s (stamp {tick.stamp_ns} ns; asked for {found.asked_s:.3f} s)"
    yield ""
    yield f"  commanded by   {tick.source}" + (f": {tick.reason}" if tick.reason else "")
    yield f"  authority      {found.authority or 'not recorded'}, epoch {tick.epoch}"
    yield f"  segment        {found.segment}"
    yield f"  operator       {tick.operator or 'nobody'}"
    yield f"  policy         {tick.policy or 'none'}" + (f", residual {tick.residual}" if tick.residual else "")
    yield from _origin(found)
    yield f"  limited        {', '.join(map(limit_text, tick.clamped)) or 'nothing'}"
    if found.jump is None:
        yield "  largest jump   none: the reference rested or moved evenly in the 0.5 s around"
    else:
        jump = found.jump
        yield f"  largest jump   {jump.change:.3g} {jump.unit} of {jump.part} at {jump.at_s:.3f} s, " \
              f"{jump.of_limit:.0%} of what its limit allows in a tick"
        yield f"  its cause      {jump.cause}"
    yield ""
    yield from _table(("action", "policy wanted", "executed", "measured"), found.channels, marks=(0, 1))
    yield ""
    yield from _motors(found.motors)


def limit_text(clamped: str) -> str:
    """What an entry of the provenance's `clamped` means."""
    if clamped.endswith(" limit"):
        return f"{clamped.removesuffix(' limit')} (at the end of its range)"
    if clamped.startswith("residual "):
        return f"{clamped} (its bound)"
    return f"{clamped} (speed or acceleration)" if " " not in clamped else clamped


def _origin(found: Explanation) -> Iterator[str]:
    if found.teleop is not None:
        teleop = found.teleop
        yield f"  from           teleop_action of {teleop.device or 'an unnamed device'} at {teleop.stamp_s:.3f} s, " \
              f"{teleop.age_ms:.0f} ms old"
    if found.chunk is None:
        if found.teleop is None:
            yield "  from           no observation: the reference rests"
        return
    chunk = found.chunk
    seen = f"seen by {', '.join(chunk.cameras)}" if chunk.cameras else "no recorded picture has its stamp"
    yield f"  from           the observation at {chunk.observation_s:.3f} s ({seen}), {chunk.age_ms:.0f} ms old"
    if chunk.received_s is None or chunk.ends_s is None:
        yield "  chunk          not in the recording"
    else:
        yield f"  chunk          {chunk.points} points until {chunk.ends_s:.3f} s, received at {chunk.received_s:.3f} s"


def _motors(motors: Motors | None) -> Iterator[str]:
    if motors is None:
        yield "motors: applied_joint_command was not recorded from this moment on"
        return
    yield f"what the motors were given at {motors.stamp_s:.3f} s (applied_joint_command)"
    if motors.changed is None:
        yield "  the controller's own command of this stamp is not in the recording"
    else:
        yield "  the driver changed " + ("nothing" if not motors.changed else "; ".join(
            f"{name} from {asked:.4f} to {given:.4f}" for name, (asked, given) in motors.changed.items()))
    yield from _table(("joint", "q_des", "dq_des", "tau_ff"), motors.joints)


def _table(head: tuple[str, ...], rows: dict[str, Any], marks: tuple[int, int] | None = None) -> Iterator[str]:
    """Right-aligned numbers; `marks`: two columns, a `*` follows where they differ."""
    width = max(len(name) for name in (head[0], *rows))
    yield f"  {head[0]:{width}}" + "".join(f"{title:>15}" for title in head[1:])
    for name, values in rows.items():
        cells = "".join("              -" if value is None else f"{value:15.4f}" for value in values)
        a, b = (values[i] for i in marks) if marks else (None, None)
        yield f"  {name:{width}}{cells}" + ("  *" if a is not None and b is not None and abs(a - b) > DIFFERENT else "")


def _finite(value: Any) -> Any:
    """JSON has no NaN: a set-point that damps has no position, and becomes null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
