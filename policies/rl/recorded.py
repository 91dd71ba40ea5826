"""What the launched graph has recorded, as a learner takes it: the same observations, the base's proposals and what was
really executed, a step for every observation that the residual's node would have answered.

The reference is what is executed, after every limit; the base's proposals are its recorded chunks. Where none was
recorded, as in demonstrations, the base is asked what it would have proposed.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from policies import recorded
from policies.chunk import chunk_times_ns
from policies.executed import Executed
from policies.frames import decode_frame
from policies.inference import answer
from policies.observation import Observation, ObservationPairing
from policies.policy import ChunkPolicy
from policies.recorded import EMPTY, Tick, Track
from policies.rl.episode import KEEP_GRIPPER, About, EpisodeError, RlEpisode
from policies.rl.observation import Layout, Rates, features
from policies.rl.plans import Plans, Proposal
from policies.rl.success import Detector
from policies.rl.weights import NAMED
from policies.timeline import INTERVENTIONS, SEGMENTS

GAP_STEPS = 2.5  # from one observation to the next; further apart the step in between is unknown
TELEOP = "teleop"  # the segment of a recording that does not say who drove: a demonstration


def rl_episode(
    folder: Path, about: About, base: ChunkPolicy, layout: Layout, reference_ns: int, detector: Detector | None = None
) -> RlEpisode:
    """One recording, for the run that is `about` this base, robot and task; it ends with success where `detector` says
    so, without one as it was labelled.

    Raises:
        EpisodeError: it has no outcome, is of another robot, task, base or run, or cannot be read as steps.
        policies.episode_file.EpisodeError: the recording itself is damaged or unfinished.
    """
    meta = recorded.ended_meta(folder)
    _check(folder, meta, about, tuple(base.config.action_channels))
    decoders: dict[str, Any] = {"measured_action": recorded.vector, "reference": recorded.vector,
                                "provenance": recorded.tick, "action_chunk": recorded.chunk, "residual": recorded.text}
    decoders |= {f"camera/{name}/{recorded.COLOR}": recorded.jpeg for name in base.config.cameras}
    tracks = recorded.read_tracks(folder, meta["robot"], decoders)
    ticks, executed = _executed(tracks)
    version = _weights(folder, tracks.get("residual", EMPTY), ticks, about)
    seen = _observations(folder, tracks, base.config.cameras, about, bool(meta.get("lockstep")))
    proposals = _proposals(seen, tracks.get("action_chunk", EMPTY), executed, base, about, reference_ns)
    moments = _moments(folder, seen, proposals, ticks)
    n, end = _ending(moments, meta, base, detector)
    moments, segments = moments[: n + 1], [SEGMENTS.index(moment.segment) for moment in moments[:n]]
    rates = Rates.named(layout, about.channels, about.action_range)
    episode = RlEpisode(
        about, np.array([_features(moment, base, layout) for moment in moments]),
        np.array([rates.action(moment.before, moment.proposal.point) for moment in moments]),
        np.array([rates.action(a.before, b.before) for a, b in zip(moments, moments[1:], strict=False)]),
        np.eye(1, n, n - 1, dtype=np.float32)[0] * (end == "success"), np.array(segments, np.uint8),
        np.full(n, KEEP_GRIPPER, np.uint8), end, version, int(meta.get("seed") or 0),
        set(segments) == {SEGMENTS.index(TELEOP)},
    )  # fmt: skip
    try:
        episode.check()
    except EpisodeError as error:
        raise EpisodeError(f"{folder}: {error}") from error
    return episode


@dataclass(frozen=True)
class _Moment:
    """An observation, what the base was about to do, and whose the step from here is."""

    observation: Observation
    proposal: Proposal
    segment: str

    @property
    def before(self) -> np.ndarray:
        return self.proposal.before


def _moments(folder: Path, seen: Sequence[Observation], proposals: Sequence[Proposal | None],
             ticks: dict[int, Tick]) -> list[_Moment]:  # fmt: skip
    """From where the policy or a person first moves the robot."""
    moments: list[_Moment] = []
    for k, (observation, proposal) in enumerate(zip(seen, proposals, strict=True)):
        segment = _segment(ticks, observation, seen[min(k + 1, len(seen) - 1)])
        if not moments and (proposal is None or not (proposal.plays or segment in INTERVENTIONS)):
            continue
        if proposal is None or segment not in SEGMENTS:
            what = "the base proposes nothing" if proposal is None else f"segment {segment!r} is unknown"
            raise EpisodeError(f"{folder}: {what} at {observation.stamp_ns} ns; allowed: a policy that answers "
                               f"throughout, segments {', '.join(SEGMENTS)}; record it again")
        moments.append(_Moment(observation, proposal, segment))
    if len(moments) < 2:
        raise EpisodeError(f"{folder}: neither a policy nor a person moved the robot; allowed: an episode of some "
                           "steps; record it again")
    return moments


def _check(folder: Path, meta: dict, about: About, channels: tuple[str, ...]) -> None:
    told, want = (meta["robot"], meta["task"], tuple(meta["action_channels"])), (about.robot, about.task, channels)
    for what, have, allowed in zip(("robot", "task", "action channels"), told, want, strict=True):
        if have != allowed:
            raise EpisodeError(f"{folder} has the {what} {have!r}; allowed: {allowed!r}; use this run's recordings")
    if meta["outcome"] not in ("success", "failure"):
        raise EpisodeError(f"{folder} has no outcome ({meta['outcome']}); allowed: success, failure; label it with "
                           f"`retake episodes relabel {folder.name} success`")


def _ending(moments: Sequence[_Moment], meta: dict, base: ChunkPolicy, detector: Detector | None) -> tuple[int, str]:
    """After how many steps, and what the learner calls it: only out of time is not over, nor is what the detector does
    not take for done."""
    n = len(moments) - 1
    end = "truncated" if meta["outcome"] == "failure" and meta["end"] == "truncated" else meta["outcome"]
    if detector is None:
        return n, end
    detector.begin()
    for k, moment in enumerate(moments):
        jpegs = dict(zip(base.config.cameras, moment.observation.jpegs, strict=True))
        wanted = [jpegs[name] for name in detector.verifier.config.cameras]
        if detector.says(wanted, moment.observation.state) and k:
            return k, "success"
    return n, "truncated" if end == "success" else end


def _executed(tracks: dict[str, Track]) -> tuple[dict[int, Tick], Executed]:
    """Provenance by stamp, and every reference with the chunk that was played; none where nothing says so."""
    stamps, references, _ = recorded.stacked(tracks.get("reference", EMPTY), "reference")
    ticks = {tick.stamp_ns: tick for tick in tracks.get("provenance", EMPTY).rows}
    chunks = np.array([ticks[s].chunk_stamp_ns if (s := int(stamp)) in ticks else 0 for stamp in stamps], np.int64)
    return ticks, Executed(stamps, references, chunks)


def _weights(folder: Path, told: Track, ticks: dict[int, Tick], about: About) -> int:
    """Version of the weights that acted; 0 where the base was alone."""
    bases = {tick.policy for tick in ticks.values() if tick.policy}
    residual = json.loads(told.rows[0]) if told.rows else {}
    bases |= {residual["base"]} if residual else set()
    if other := sorted(bases - {about.base[:NAMED]}):
        raise EpisodeError(f"{folder}: the policy was {', '.join(other)}; allowed: {about.base[:NAMED]}, the base of "
                           "this run; record with that, or start a run on the other")  # fmt: skip
    if not any(tick.residual for tick in ticks.values()):
        return 0
    if residual["run"] != about.run:
        raise EpisodeError(f"{folder}: the residual was of run {residual['run']!r}; allowed: {about.run!r}; use the "
                           "recordings of this run")
    return int(residual["version"])


def _observations(
    folder: Path, tracks: dict[str, Track], cameras: Sequence[str], about: About, lockstep: bool
) -> list[Observation]:
    """Those that the residual's node had, from the messages in the order of their arrival."""
    step_ns = round(about.step_s * 1e9)
    pairing = ObservationPairing(tuple(cameras), lockstep, step_ns)
    names = {camera: f"camera/{camera}/{recorded.COLOR}" for camera in cameras}
    if missing := [camera for camera, name in names.items() if name not in tracks]:
        raise EpisodeError(f"{folder}: no pictures of {', '.join(missing)}; allowed: those of the base policy, "
                           f"{', '.join(cameras)}; record with its cameras")
    states = tracks.get("measured_action", EMPTY)
    arrivals = [(int(log), 0, "", k) for k, log in enumerate(states.log_ns)]
    for camera, name in names.items():
        arrivals += [(int(log), 1, camera, k) for k, log in enumerate(tracks[name].log_ns)]
    found = []
    for _, _, camera, k in sorted(arrivals):
        track = tracks[names[camera]] if camera else states
        stamp, row = int(track.stamps_ns[k]), track.rows[k]
        observation = pairing.add_image(camera, stamp, row) if camera else pairing.add_state(stamp, row.values)
        if observation is not None:
            found.append(observation)
    gaps = np.diff([observation.stamp_ns for observation in found])
    if pairing.n_restarts or len(found) < 2 or gaps.max() > GAP_STEPS * step_ns or gaps.min() <= 0:
        why = "the world began anew" if pairing.n_restarts else "no two observations" if len(found) < 2 else (
            f"{gaps.max() / 1e9:.2f} s without an observation")  # fmt: skip
        raise EpisodeError(f"{folder}: {why}; allowed: pictures and states throughout, one world; record it again")
    return found


def _proposals(
    seen: Sequence[Observation], chunks: Track, executed: Executed, base: ChunkPolicy, about: About, reference_ns: int
) -> list[Proposal | None]:
    """What the base was about to do at each observation; see policies/rl/plans.py."""
    plans = Plans(base.config.action_channels, round(about.step_s * 1e9), reference_ns)
    told = deque(sorted(zip(chunks.stamps_ns.tolist(), chunks.rows, strict=True), key=itemgetter(0)))
    offsets_ns = chunk_times_ns(base.config.chunk_size, base.config.chunk_dt_ns)
    proposals = []
    for observation in seen:
        while told and told[0][0] <= observation.stamp_ns:
            stamp, row = told.popleft()
            plans.add(stamp, row.offsets_ns, row.actions)
        if not len(chunks) and (asked := answer(base, observation)).chunk is not None:
            plans.add(observation.stamp_ns, offsets_ns, asked.chunk)
        upto = int(np.searchsorted(executed.stamps_ns, observation.state_stamp_ns, side="right"))
        until = Executed(executed.stamps_ns[:upto], executed.references[:upto], executed.chunk_stamps_ns[:upto])
        proposals.append(plans.proposal(observation, until) if upto else None)
    return proposals


def _segment(ticks: dict[int, Tick], start: Observation, end: Observation) -> str:
    """The segment of most ticks of a step, a person's before any other."""
    names = Counter(tick.segment for stamp, tick in ticks.items()
                    if start.state_stamp_ns <= stamp < max(end.state_stamp_ns, start.state_stamp_ns + 1))  # fmt: skip
    if not names:
        return TELEOP
    return max(names, key=lambda name: (name in INTERVENTIONS, names[name]))


def _features(moment: _Moment, base: ChunkPolicy, layout: Layout) -> np.ndarray:
    config, observation = base.config, moment.observation
    pictures = [decode_frame(jpeg, config.width, config.height) for jpeg in observation.jpegs]
    return features(base, layout, pictures, observation.state, moment.before)
