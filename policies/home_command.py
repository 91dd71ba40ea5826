"""`retake home`: writes beside a checkpoint where its policy is at home, from the episodes that it was trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from policies.checkpoint import load_checkpoint
from policies.dataset import find_episodes, load_samples
from policies.home import make_home, save_home
from policies.train import CACHE_NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Checkpoint and episodes."""
    parser.add_argument("checkpoint", type=Path, help="folder of the policy")
    parser.add_argument("--data", type=Path, default=Path("data/g1_box"), help="folder of episodes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write it and say what it holds."""
    policy = load_checkpoint(args.checkpoint).policy
    config = policy.config
    episodes = find_episodes(args.data)
    samples = load_samples(episodes, args.data / CACHE_NAME, config.cameras, config.width, config.height)
    if samples.episodes[0].channels != config.state_channels:
        raise ValueError(f"{args.data} has channels {samples.episodes[0].channels}; allowed: {config.state_channels}")
    home = make_home(samples.states, np.asarray(samples.where)[:, 0], policy.state_normaliser)
    save_home(args.checkpoint, home)
    print(f"{len(home.states)} states of {len(episodes)} episodes, edge {home.edge:.3f} half ranges: {args.checkpoint}")
    return 0
