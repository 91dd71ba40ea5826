"""How sure a success rate is."""

from __future__ import annotations

import math


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a success probability; z = 1.96 gives 95 %. Without trials it is (0, 1)."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials; allowed: 0 <= successes <= trials; count again")
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = successes / trials, z * z
    centre = rate + z2 / (2 * trials)
    spread = z * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials * trials))
    scale = 1 + z2 / trials
    # At 0 and all successes the bound is exactly 0 and 1; rounding must not say otherwise.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return low, high


def format_rate(successes: int, trials: int) -> str:
    """`41/50 = 82.0 % [69.2, 90.2]` with the 95 % interval."""
    low, high = wilson_interval(successes, trials)
    rate = 100.0 * successes / trials if trials else math.nan
    return f"{successes}/{trials} = {rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
