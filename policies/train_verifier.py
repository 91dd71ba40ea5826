"""`retake train-verifier`: a success classifier from recorded outcomes, and how often it is wrong.

Done look the last moments of episodes that succeeded; not done everything until shortly before, and all of episodes
that failed. Beside the weights it keeps where the robot was at the ends of successes (policies/guard.py). Episodes are
split once: to train, to choose the threshold, and to measure: the false positives are counted per failed episode, at
its end, where a retrying executor would ask, and at every frame of it, as a learner asks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch.nn import functional

from policies.dataset import find_episodes
from policies.frame_cache import cached_episode
from policies.frames import random_colours, random_shifts, shifted
from policies.guard import fit_guard
from policies.rl.success import Detector
from policies.sources import Source
from policies.train import CACHE_NAME
from policies.verifier import Rate, Verifier, VerifierConfig, VerifierError, VerifierNet, as_input, save_verifier

SPLIT = (0.6, 0.15, 0.25)  # to train, for the threshold, to measure
BATCH = 48
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-3
MISTAKES = 0.01  # the threshold lets so many of the moments pass that are not done
SUCCESSES_MIN = 8


@dataclass(frozen=True)
class Moments:
    """Pictures (n, cameras, h, w, 3) uint8 of single moments, whether they are done (n,), which are the last of their
    episode (n,), and poses (n, c) in `channels`."""

    pictures: np.ndarray
    done: np.ndarray
    ends: np.ndarray
    poses: np.ndarray
    channels: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True,
                        help="folders of episodes with successes and failures")
    parser.add_argument("--task", help="of which task, where the folders hold several")
    parser.add_argument("--out", type=Path, required=True, help="folder of the verifier")
    parser.add_argument("--cameras", nargs="+", help="by default all that were recorded")
    parser.add_argument("--size", type=int, nargs=2, default=(128, 96), metavar=("WIDTH", "HEIGHT"),
                        help="of the pictures, px (128 96)")
    parser.add_argument("--steps", type=int, default=400, help="of training, 48 moments each (%(default)s)")
    parser.add_argument("--moments", type=int, default=6, help="of each episode that are not done (%(default)s)")
    parser.add_argument("--done-s", type=float, default=0.2, help="the end of a success that looks done (%(default)s)")
    parser.add_argument("--unsure-s", type=float, default=1.0,
                        help="before the end of a success it may look done or not; left out (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights and the order (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Train, measure, save; 0 when a verifier was written."""
    torch.set_num_threads(1)
    episodes = find_episodes(args.data, ("success", "failure"), args.task)
    config = VerifierConfig(tuple(args.cameras or sorted(episodes[0].read().pictures)), *args.size)
    rng = np.random.default_rng([args.seed, 0x7E51])
    sources = split(episodes, rng)
    parts = [_moments(part, config, args, rng) for part in sources]
    net = train(parts[0], config, args.steps, args.seed)
    about = {name: getattr(args, name) for name in ("steps", "moments", "done_s", "unsure_s", "seed")}
    about |= {"episodes": [episode.name for episode in episodes]}
    guard = fit_guard(parts[0].channels, parts[0].poses[parts[0].done])
    verifier = replace(measured(net, config, episodes[0].meta, about, parts[1], parts[2]), guard=guard)
    verifier = replace(verifier, false_alarm=false_alarms(verifier, sources[2], args))
    sha256 = save_verifier(args.out, verifier)
    print(f"{args.out}: {sha256[:12]}, threshold {verifier.threshold:.3f}; of held-out failures taken for done "
          f"{verifier.false_positive}, asked at every frame {verifier.false_alarm}, of held-out successes not "
          f"{verifier.false_negative} (Wilson 95 %)")
    return 0


def split(episodes: Sequence[Source], rng: np.random.Generator) -> list[list[Source]]:
    """Whole episodes, successes and failures alike in each part.

    Raises:
        VerifierError: too few successes.
    """
    parts: list[list[Source]] = [[], [], []]
    for outcome in ("success", "failure"):
        alike = [episode for episode in episodes if episode.meta["outcome"] == outcome]
        if outcome == "success" and len(alike) < SUCCESSES_MIN:
            raise VerifierError(f"{len(alike)} successes of {len(episodes)} episodes; allowed: {SUCCESSES_MIN} and "
                                "more; record more")
        order = rng.permutation(len(alike))
        edges = np.round(np.cumsum((0.0, *SPLIT)) * len(alike)).astype(int)
        for part, low, high in zip(parts, edges[:-1], edges[1:], strict=True):
            part += [alike[i] for i in order[low:high]]
    return parts


def _moments(episodes: Sequence[Source], config: VerifierConfig, args: argparse.Namespace,
             rng: np.random.Generator) -> Moments:
    """The last moment of each episode, some that look done like it, and some that do not."""
    pictures, done, ends, poses = [], [], [], []
    channels: tuple[str, ...] = ()
    for source in track(episodes, "reading episodes"):
        episode = cached_episode(source, args.data[0] / CACHE_NAME, config.cameras, config.width, config.height)
        left_s = (episode.frame_stamps_ns[-1] - episode.frame_stamps_ns) * 1e-9
        is_success = source.meta["outcome"] == "success"
        before = np.flatnonzero(left_s > (args.unsure_s if is_success else 0.0))
        chosen = set(rng.choice(before, min(args.moments, len(before)), replace=False).tolist())
        chosen |= set(np.flatnonzero(left_s <= args.done_s).tolist())
        for frame in sorted(chosen):
            pictures.append(episode.images[frame])
            done.append(is_success and left_s[frame] <= args.done_s)
            ends.append(frame == len(left_s) - 1)
            poses.append(episode.state[frame])
        channels = episode.channels
    return Moments(np.stack(pictures), np.array(done), np.array(ends), np.array(poses), channels)


def train(moments: Moments, config: VerifierConfig, steps: int, seed: int) -> VerifierNet:
    """Half of each batch looks done, half does not; windows move and colours change at random."""
    torch.manual_seed(seed)
    net, rng = VerifierNet(config).to(memory_format=torch.channels_last), np.random.default_rng([seed, 1])  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    sides = [np.flatnonzero(moments.done), np.flatnonzero(~moments.done)]
    for _ in track(range(steps), "training"):
        index = np.concatenate([rng.choice(side, BATCH // 2) for side in sides])
        shifts = random_shifts(rng, len(index), len(config.cameras))
        pictures = np.stack([[shifted(picture, *shift) for picture, shift in zip(each, moved, strict=True)]
                             for each, moved in zip(moments.pictures[index], shifts, strict=True)])
        gain, offset = random_colours(rng, len(index), len(config.cameras))
        images = as_input(pictures) * torch.from_numpy(gain) + torch.from_numpy(np.ascontiguousarray(offset)).float()
        wanted = torch.from_numpy(moments.done[index]).float()
        loss = functional.binary_cross_entropy_with_logits(net(images), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def measured(net: VerifierNet, config: VerifierConfig, meta: dict[str, Any], about: dict[str, Any], chosen: Moments,
             held_out: Moments) -> Verifier:
    """With the threshold from one part and the rates from another."""
    unsure = Verifier(net, config, meta["robot"], meta["task"], 0.5, Rate(0, 0), Rate(0, 0), about)
    threshold = max(0.5, float(np.quantile(_scores(unsure, chosen.pictures)[~chosen.done], 1.0 - MISTAKES)))
    passed = _scores(unsure, held_out.pictures) >= threshold
    failures, successes = (held_out.ends & (held_out.done == value) for value in (False, True))
    about = {**about, "not_done_passed": [int(passed[~held_out.done].sum()), int((~held_out.done).sum())]}
    return Verifier(net, config, meta["robot"], meta["task"], threshold, Rate(int(passed[failures].sum()),
                    int(failures.sum())), Rate(int((~passed[successes]).sum()), int(successes.sum())), about)


def false_alarms(verifier: Verifier, episodes: Sequence[Source], args: argparse.Namespace) -> Rate:
    """Failures in which it would have told a learner, asked at every frame, that the task is done."""
    failures = [source for source in episodes if source.meta["outcome"] == "failure"]
    said, config = 0, verifier.config
    for source in track(failures, "asking along failures"):
        episode = cached_episode(source, args.data[0] / CACHE_NAME, config.cameras, config.width, config.height)
        detector = Detector(verifier, episode.channels, config.cameras)
        scores = _scores(verifier, episode.images)
        said += any(detector.hears(score, pose) for score, pose in zip(scores, episode.state, strict=True))
    return Rate(said, len(failures))


def _scores(verifier: Verifier, pictures: np.ndarray) -> np.ndarray:
    return np.concatenate([verifier.scores(np.array(pictures[i : i + 256])) for i in range(0, len(pictures), 256)])
