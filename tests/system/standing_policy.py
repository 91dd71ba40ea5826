"""A checkpoint whose policy stands with its hands in front: random weights, and statistics so narrow that every action
is the home pose within a few millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from controllers.g1 import ACTION_CHANNELS, HOME_ACTION
from policies.checkpoint import save_checkpoint
from policies.flow import FlowPolicy
from policies.normalise import Normaliser
from policies.policy import PolicyConfig

HALF_RANGE = 0.002


def write_standing_policy(folder: Path) -> Path:
    """Write the checkpoint and return its folder."""
    torch.manual_seed(0)
    state = Normaliser(ACTION_CHANNELS, np.asarray(HOME_ACTION, float), np.full(len(ACTION_CHANNELS), 1.0))
    action = Normaliser(ACTION_CHANNELS, np.asarray(HOME_ACTION, float), np.full(len(ACTION_CHANNELS), HALF_RANGE))
    config = PolicyConfig(action_channels=ACTION_CHANNELS, state_channels=ACTION_CHANNELS, cameras=("head", "chest"))
    save_checkpoint(folder, FlowPolicy(config, state, action), "g1", "g1_box", {"steps": 0})
    return folder
