"""`retake train-value`: a critic for a policy's chunks, from recorded successes and failures.

The target of a frame is discount ** (seconds left) in an episode that succeeded and 0 in one that failed: sooner is
better, and where nothing succeeded nothing is good.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch.nn import functional

from policies.checkpoint import Checkpoint, load_checkpoint
from policies.dataset import DatasetError, find_episodes, load_samples, split_episodes
from policies.policy import Batch
from policies.seen import seen_in
from policies.sources import Source
from policies.train import CACHE_NAME
from policies.value import ChunkCritic, CriticConfig, save_critic

OUTCOMES = ("success", "failure")
BATCH_SIZE = 256
LEARNING_RATE, WEIGHT_DECAY = 3e-4, 1e-2
STATE_NOISE = 0.05  # of the half range, as in the training of policies


@dataclass(frozen=True)
class Judged:
    """Samples: seen (n, n_seen), normalised state (n, s) and chunk (n, chunk_size, a), value (n,) in 0..1."""

    seen: torch.Tensor
    state: torch.Tensor
    chunk: torch.Tensor
    value: torch.Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", type=Path, required=True, metavar="CHECKPOINT",
                        help="whose chunks are valued; best the one that recorded the episodes")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FOLDER",
                        help="episodes with outcomes, successes and failures: record its evaluation")
    parser.add_argument("--out", type=Path, required=True, help="folder of the critic")
    parser.add_argument("--task", help="only episodes of this task")
    parser.add_argument("--steps", type=int, default=3000, help="of training, 256 frames each (%(default)s)")
    parser.add_argument("--discount", type=float, default=0.95,
                        help="what a success is worth one second later (%(default)s)")
    parser.add_argument("--validation", type=float, default=0.2, help="fraction of the episodes held out")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Train, measure, save; 0 when a critic was written."""
    if not args.steps > 0 or not 0.0 < args.discount <= 1.0 or not 0.0 < args.validation < 1.0:
        raise ValueError(f"--steps {args.steps} --discount {args.discount} --validation {args.validation}; allowed: "
                         "above 0, above 0 to 1, and between 0 and 1")
    torch.set_num_threads(args.threads)
    console = Console()
    episodes = find_episodes(args.data, OUTCOMES, args.task)
    checkpoint = load_checkpoint(args.policy, episodes[0].meta["robot"])
    checkpoint.policy.to("cuda" if torch.cuda.is_available() else "cpu")
    parts = split_episodes(episodes, args.validation, args.seed)
    cache, quiet = args.data[0] / CACHE_NAME, not console.is_terminal
    train, held_out = (judged(checkpoint, part, cache, args.discount, quiet) for part in parts)
    critic = fit(checkpoint, train, args.steps, args.seed, quiet)
    measured = measure(checkpoint, critic, held_out)
    about = {"episodes": len(episodes), "frames": len(train.value), "steps": args.steps, "discount": args.discount,
             "seed": args.seed, **measured}  # fmt: skip
    sha256 = save_critic(args.out, critic, checkpoint.sha256, about)
    console.print(
        f"critic {args.out} ({sha256[:12]}) for {args.policy} ({checkpoint.sha256[:12]}): error on held-out episodes "
        f"{measured['error']:.3f}, of always saying the mean {measured['error_of_mean']:.3f}"
    )
    return 0


def judged(checkpoint: Checkpoint, episodes: list[Source], cache: Path, discount: float, quiet: bool = True) -> Judged:
    """The frames of episodes, both successes and failures among them, as the critic learns them.

    Raises:
        DatasetError: all episodes ended alike: a critic of those cannot tell good from bad.
    """
    outcomes = [episode.meta["outcome"] for episode in episodes]
    if set(outcomes) != set(OUTCOMES):
        raise DatasetError(f"of {len(episodes)} episodes {outcomes.count('success')} are successes; allowed: some "
                           "successes and some failures, to learn from and held out; record more of the policy")
    policy = checkpoint.policy
    config = policy.config
    samples = load_samples(episodes, cache, config.cameras, config.width, config.height, quiet)
    value = np.zeros(len(samples.where), np.float32)
    for i, (episode, frame) in enumerate(samples.where):
        if outcomes[episode] == "success":
            stamps_ns = samples.episodes[episode].frame_stamps_ns
            value[i] = discount ** ((stamps_ns[-1] - stamps_ns[frame]) * 1e-9)
    return Judged(
        torch.from_numpy(seen_in(policy, samples)),
        torch.from_numpy(policy.state_normaliser.encode(samples.states)),
        torch.from_numpy(policy.action_normaliser.encode(samples.chunks)),
        torch.from_numpy(value),
    )


def fit(checkpoint: Checkpoint, samples: Judged, steps: int, seed: int, quiet: bool = True) -> ChunkCritic:
    """Cross entropy between Q and the value of random frames; the policy's encoder stays as it is."""
    policy = checkpoint.policy
    torch.manual_seed(seed)
    critic = ChunkCritic(CriticConfig.of(policy.config)).to(policy.device)
    optimizer = torch.optim.AdamW(critic.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in track(range(steps), "training", disable=quiet):
        rows = torch.randint(len(samples.value), (BATCH_SIZE,), generator=generator)
        noise = STATE_NOISE * torch.randn((BATCH_SIZE, samples.state.shape[1]), generator=generator)
        logits = _values(checkpoint, critic, samples, rows, samples.state[rows] + noise)
        loss = functional.binary_cross_entropy_with_logits(logits, samples.value[rows].to(policy.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return critic.eval()


@torch.no_grad()
def measure(checkpoint: Checkpoint, critic: ChunkCritic, samples: Judged) -> dict[str, float]:
    """Root mean squared error of Q, and of a critic that says the mean whatever it sees."""
    rows = torch.arange(len(samples.value))
    parts = [torch.sigmoid(_values(checkpoint, critic, samples, part, samples.state[part])).cpu()
             for part in rows.split(BATCH_SIZE)]
    error = (torch.cat(parts) - samples.value).square().mean().sqrt()
    return {"error": float(error), "error_of_mean": float(samples.value.std(correction=0))}


def _values(checkpoint: Checkpoint, critic: ChunkCritic, samples: Judged, rows: torch.Tensor, state: torch.Tensor
            ) -> torch.Tensor:
    """Logits (b,) of rows (b,) with the states (b, s) in place of the samples' own."""
    device = checkpoint.policy.device
    seen, state, chunk = (values.to(device) for values in (samples.seen[rows], state, samples.chunk[rows]))
    with torch.no_grad():
        context = checkpoint.policy.encode(Batch(seen, state, chunk, seen=seen), state.new_zeros((len(state), 1)))
    return critic(context, chunk)
