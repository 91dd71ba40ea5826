"""Latency of a one-step policy beside its teachers': same network, same pictures, one thread, interleaved.

How long a chunk takes does not depend on what the weights have learnt: these are random. Two latencies are said: the
whole, from pictures and state to actions, and `sampling`, from the encoded observation to the chunk. Distillation
shortens the second; the encoder is part of both sides' first.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from controllers.rigs import YAM
from policies.consistency import ConsistencyPolicy
from policies.diffusion import DiffusionConfig, DiffusionPolicy
from policies.flow import FlowPolicy
from policies.generative import GenerativePolicy
from policies.normalise import Normaliser
from policies.policy import PolicyConfig, generator_of

ROUNDS, WARM_UPS = 300, 5
CHI_STEPS = 16  # DDIM steps of Chi et al. on their robots (arXiv 2303.04137, section IV.D)


def speed() -> dict[str, dict[str, Any]]:
    """Latency of the diffusion policy as it is served over that of its student, from pictures to actions; beside it
    flow matching, diffusion with the steps of its paper, and sampling alone."""
    policies = _policies()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ms = _interleaved(policies)
    finally:
        torch.set_num_threads(before)
    student = ms.pop("one step")
    ratios = {name: {part: round(times[part] / student[part], 2) for part in times} for name, times in ms.items()}
    said = ", ".join(f"{name} {r['whole']:.1f} x, sampling {r['sampling']:.1f} x" for name, r in ratios.items())
    served = next(name for name in ms if name.startswith("diffusion"))
    value = ms[served]["whole"] / student["whole"]
    return {"onestep_speedup": {"value": value, "peer": said, "ms": {**ms, "one step": student}}}


def _policies() -> dict[str, GenerativePolicy]:
    """By name with the number of steps, the student last."""
    channels = YAM.layout.channels
    n = len(channels)
    statistics = Normaliser(channels, np.zeros(n), np.ones(n))
    sizes = (channels, channels, YAM.cameras)
    served, chi = DiffusionConfig(*sizes), DiffusionConfig(*sizes, num_inference_steps=CHI_STEPS)
    teacher = DiffusionPolicy(served, statistics, statistics)
    policies: dict[str, GenerativePolicy] = {
        f"diffusion {served.num_inference_steps} steps": teacher,
        f"diffusion {CHI_STEPS} steps": DiffusionPolicy(chi, statistics, statistics),
        f"flow {FlowPolicy.NUM_INFERENCE_STEPS} steps": FlowPolicy(PolicyConfig(*sizes), statistics, statistics),
        "one step": ConsistencyPolicy.distilling(teacher),
    }
    return {name: policy.eval() for name, policy in policies.items()}


@torch.no_grad()
def _interleaved(policies: dict[str, GenerativePolicy]) -> dict[str, dict[str, float]]:
    """Median ms of each, `whole` and `sampling`, taken in turn so that all see the same machine."""
    config = next(iter(policies.values())).config
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (config.height, config.width, 3), np.uint8) for _ in config.cameras]
    state, generator = np.zeros(len(config.state_channels)), generator_of(0)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in policies}
    for turn in range(WARM_UPS + ROUNDS):
        for name, policy in policies.items():
            context = policy.context_of(*policy.inputs(pictures, state))
            begin = time.perf_counter()
            policy.draw(context, generator)
            between = time.perf_counter()
            policy.predict(pictures, state, seed=turn)
            if turn >= WARM_UPS:
                times[name].append((time.perf_counter() - between, between - begin))
    medians = {name: 1e3 * np.median(rows, axis=0) for name, rows in times.items()}
    return {name: {"whole": round(float(m[0]), 2), "sampling": round(float(m[1]), 2)} for name, m in medians.items()}
