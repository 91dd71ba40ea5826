"""Where a policy is at home: how far a state is from those it was trained on, so that a person sees when it strays.

`home.safetensors` in the checkpoint's folder holds training states (n, s) in the policy's normalised units and the
edge: the distance that one training episode in its most unusual hundredth has from all the others. A distance of 1 is
that edge. It speaks of the robot's pose only, not of what the cameras see, and it is no safety layer: it tells a person
how far back is far enough (recipe A4; RaC overlays a heat map, arXiv 2509.07953).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from policies.atomic import replace_file
from policies.normalise import Normaliser

HOME = "home.safetensors"
STATES_MAX = 4000
EDGE_PERCENTILE = 99.0
QUERIES = 2000


class HomeError(ValueError):
    """A home that must not be used; the text says what, what is allowed and what to do."""


@dataclass(frozen=True)
class Home:
    """`states` (n, s) float32 in normalised units; `edge` the distance that counts as 1."""

    states: np.ndarray
    edge: float
    normaliser: Normaliser

    def distance(self, state: np.ndarray) -> float:
        """Of a state (s,) in the channels' units from the nearest training state, in edges."""
        away = self.states - self.normaliser.encode(state).astype(np.float32)
        return float(np.sqrt(np.einsum("ij,ij->i", away, away).min())) / self.edge


def make_home(states: np.ndarray, episodes: np.ndarray, normaliser: Normaliser, seed: int = 0) -> Home:
    """From states (n, s) in the channels' units and the episode (n,) that each belongs to; at least two episodes."""
    if len(np.unique(episodes)) < 2:
        raise HomeError("one episode alone does not say how far apart episodes are; allowed: two or more")
    rng = np.random.default_rng(seed)
    keep = np.sort(rng.permutation(len(states))[:STATES_MAX])
    kept, of = normaliser.encode(states[keep]).astype(np.float32), episodes[keep]
    asked = rng.permutation(len(kept))[:QUERIES]
    nearest = []
    for i in asked:
        others = kept[of != of[i]]
        away = others - kept[i]
        nearest.append(np.einsum("ij,ij->i", away, away).min())
    edge = float(np.sqrt(np.percentile(nearest, EDGE_PERCENTILE)))
    if not edge > 0.0:
        raise HomeError("all episodes are the same; allowed: episodes that differ")
    return Home(kept, edge, normaliser)


def save_home(folder: Path, home: Home) -> None:
    """Write it beside the checkpoint, in one step."""
    replace_file(folder / HOME, save({"states": np.ascontiguousarray(home.states)}, metadata={"edge": repr(home.edge)}))


def load_home(folder: Path, normaliser: Normaliser) -> Home | None:
    """The checkpoint's home, None where it has none.

    Raises:
        HomeError: the file is not what `save_home` writes, or of another policy.
    """
    path = folder / HOME
    if not path.exists():
        return None
    remedy = f"delete it, or write it again with `retake home {folder}`"
    try:
        with safe_open(path, framework="numpy") as file:
            states, edge = file.get_tensor("states"), float((file.metadata() or {})["edge"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise HomeError(f"{path} is damaged ({error}); {remedy}") from error
    n = len(normaliser.channels)
    if states.ndim != 2 or states.shape[1] != n or states.dtype != np.float32 or not len(states):
        raise HomeError(f"{path} has states {states.shape} {states.dtype}; allowed: (n, {n}) float32; {remedy}")
    if not np.isfinite(states).all() or not 0.0 < edge < np.inf:
        raise HomeError(f"{path} holds numbers that are not finite; {remedy}")
    return Home(states, edge, normaliser)
