"""gate_false_promotions: how often the gate lets a policy pass that it must not, in simulated evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np

from policies.rl.gate import MARGIN, judge

PROMOTIONS = 200
SEEDS = 200  # paired trials of each
DEPLOYED = (0.5, 0.7, 0.85, 0.95)  # success of the deployed policy
CORRELATION = (0.0, 0.5, 0.9)  # of the two outcomes on a seed


def promotions(margin: float, difference: float, seed: int, n: int = PROMOTIONS) -> float:
    """Share of n candidates promoted whose success is `difference` above the deployed policy's, over all settings."""
    rng = np.random.default_rng(seed)
    passed = 0
    for k in range(n):
        p, rho = DEPLOYED[k % len(DEPLOYED)], CORRELATION[k % len(CORRELATION)]
        q = float(np.clip(p + difference, 0.0, 1.0))
        both = p * q + rho * (min(p, q) - p * q)
        outcome = rng.choice(4, SEEDS, p=[both, p - both, q - both, 1.0 - p - q + both])  # both, first, second, none
        deployed = {i: bool(o in (0, 1)) for i, o in enumerate(outcome)}
        candidate = {i: bool(o in (0, 2)) for i, o in enumerate(outcome)}
        passed += judge(deployed, candidate, margin).promoted
    return passed / n


def false_promotions() -> dict[str, dict[str, Any]]:
    """The worse of two cases: policies worse by just the margin, and with no margin equal ones."""
    at_margin, equal = promotions(MARGIN, -MARGIN, 1), promotions(0.0, 0.0, 2)
    beside = {"worse by the margin": at_margin, "equal, margin 0": equal,
              "worse by 10 points": promotions(MARGIN, -0.10, 3),
              "rightly promoted: equal, margin 5 points": promotions(MARGIN, 0.0, 4),
              "rightly promoted: 10 points better": promotions(MARGIN, 0.10, 5)}  # fmt: skip
    text = ", ".join(f"{name} {100 * share:.1f} %" for name, share in beside.items())
    return {"gate_false_promotions": {"value": max(at_margin, equal), "peer": text, "shares": beside}}
