"""One training run in memory: a step, a validation, the schedule. `policies.train` is the command around it."""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from policies.checkpoint import KINDS, save_checkpoint
from policies.dataset import Samples
from policies.frames import random_colours, random_shifts
from policies.normalise import Normaliser
from policies.policy import Batch, ChunkPolicy
from policies.processes import Processes
from policies.sampling import Shuffle
from policies.seen import seen_in
from policies.segments import EVERY_DRIVEN
from policies.train_state import load_state, save_state

EXECUTED = slice(1, 8)  # points 0.13-0.53 s: what is executed of a chunk when a new one comes every 0.4 s
VALIDATION_SAMPLES = 384
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class TrainConfig:
    """What shapes the result of a run; equal configs on equal data give equal weights."""

    policy: str = "act"
    seed: int = 0
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    average_decay: float = 0.999
    gradient_clip: float = 1.0
    state_noise: float = 0.05  # of the half range
    state_dropout: float = 0.1
    segments: str = EVERY_DRIVEN  # what is learnt from, `policies.segments`
    weighting: str = "uniform"  # of trajectories, `policies.sampling`
    temperature: float = 0.1
    micro_batches: int = 1  # parts of a batch, each with random numbers of its own, whose gradients are averaged
    precision: str = "float32"  # of the forward pass; weights are float32
    compile: bool = False


class Trainer:
    """Owns weights, average weights (EMA) and optimizer. `total_steps` may be set until warm-up ends, not later.

    Several processes share the micro-batches of each step and hold equal weights after it.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Samples,
        validation: Samples | None,
        cameras: tuple[str, ...],
        processes: Processes | None = None,
        policy: ChunkPolicy | None = None,
    ) -> None:
        """`policy`: to go on from, on the processes' device; by default a new one of the config's kind."""
        self.config, self.train, self.validation = config, train, validation
        self.processes = processes or Processes()
        _check(config, self.processes.count)
        self._device = device = self.processes.device
        channels = train.episodes[0].channels
        height, width = train.episodes[0].images.shape[2:4]
        torch.manual_seed(config.seed)
        if policy is None:
            state = Normaliser.fit(channels, train.states)
            action = Normaliser.fit(channels, train.chunks.reshape(-1, len(channels)))
            kind = KINDS[config.policy]
            policy = kind(kind.Config(channels, channels, cameras, width, height), state, action).to(device)
        elif policy.config.action_channels != channels:
            raise ValueError(f"the recordings have the channels {', '.join(channels)}; allowed: the checkpoint's, "
                             f"{', '.join(policy.config.action_channels)}; record with that robot")
        self.policy = policy
        # (n, n_seen) what frozen encoders see in each frame: without augmentation, computed once
        self.seen = None if any(p.requires_grad for p in policy.encoders.parameters()) else seen_in(policy, train)
        self.average = copy.deepcopy(self.policy).eval()
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        if config.compile:
            self.policy.encoders.compile()  # most of the work, and nothing random
        self._loss: nn.Module = _Loss(self.policy)
        if self.processes.count > 1:
            self._loss = DistributedDataParallel(
                self._loss, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
            )
        self.shuffle = Shuffle(train.weight, config.seed)
        self.states = self.policy.state_normaliser.encode(train.states)
        self.chunks = self.policy.action_normaliser.encode(train.chunks)
        self.n_steps_done = 0
        self.total_steps: int | None = None

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then cosine to zero at total_steps."""
        if step < self.config.warmup_steps:
            return self.config.learning_rate * (step + 1) / self.config.warmup_steps
        span = max(1, (self.total_steps or 0) - self.config.warmup_steps)
        return self.config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - self.config.warmup_steps) / span))

    def step(self) -> float:
        """One optimizer step; returns the loss."""
        step, config, parts = self.n_steps_done, self.config, self.processes.share(self.config.micro_batches)
        self.optimizer.zero_grad()
        total = 0.0
        for part in parts:
            batch, generator = self._batch(step, part)
            with self._alone() if part != parts[-1] else nullcontext():
                with torch.autocast(self._device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                    loss = self._loss(batch, generator, config.state_noise, config.state_dropout) / len(parts)
                loss.backward()
            total += loss.item()
        (mean,) = self.processes.mean([total])
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"the loss is {mean} at step {step}; allowed: a finite loss; start again with a smaller --learning-rate"
            )
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), config.gradient_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.step()
        decay = min(config.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.policy.parameters()), 1.0 - decay)
        self.n_steps_done += 1
        return mean

    def _alone(self) -> AbstractContextManager:
        """Where gradients add up in this process, to be averaged with the others' after the last part."""
        return self._loss.no_sync() if isinstance(self._loss, DistributedDataParallel) else nullcontext()

    def _batch(self, step: int, part: int) -> tuple[Batch, torch.Generator]:
        """One micro-batch of a step, augmented, and the generator of its noise: functions of (seed, step, part)."""
        rng = np.random.default_rng([self.config.seed, 2, step])
        index = self.shuffle.batch(step, self.config.batch_size)
        n_cameras = len(self.policy.config.cameras)
        shifts = random_shifts(rng, len(index), n_cameras)
        gain, offset = random_colours(rng, len(index), n_cameras)
        seeds = rng.integers(2**62, size=self.config.micro_batches)
        size = len(index) // self.config.micro_batches
        rows = slice(part * size, (part + 1) * size)
        generator = torch.Generator().manual_seed(int(seeds[part]))
        if self.seen is not None:
            known = (np.empty((size, 0)), self.states[index[rows]], self.chunks[index[rows]], self.seen[index[rows]])
            images, state, chunk, seen = map(self._tensor, known)
            return Batch(images, state, chunk, seen=seen), generator
        arrays = (
            self.train.images(index[rows], shifts[rows]),
            self.states[index[rows]],
            self.chunks[index[rows]],
            shifts[rows].astype(np.float32),
            gain[rows],
            offset[rows],
        )
        return Batch(*map(self._tensor, arrays)), generator

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        """On the device; from pinned memory, so that the copy runs beside the computation."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else tensor

    def validate(self, n_samples: int = VALIDATION_SAMPLES) -> dict[str, float]:
        """Held-out error of the average weights: loss, and how far the hands go astray (cm) in the executed points,
        where the channels have any; empty when nothing is held out."""
        held_out, policy = self.validation, self.average
        if held_out is None:
            return {}
        index = np.unique(np.linspace(0, len(held_out.where) - 1, n_samples).astype(np.int64))
        generator = torch.Generator().manual_seed(self.config.seed)
        losses, errors = [], []
        for part in np.array_split(index, math.ceil(len(index) / 64)):
            images = self._tensor(held_out.images(part))
            state = self._tensor(policy.state_normaliser.encode(held_out.states[part]))
            chunk = self._tensor(policy.action_normaliser.encode(held_out.chunks[part]))
            with torch.no_grad():
                losses.append(policy.loss(Batch(images, state, chunk), generator, 0.0, 0.0).item())
            said = policy.sample(images, state, generator).cpu().numpy()
            missed = position_errors(
                policy.action_normaliser.decode(said), held_out.chunks[part], policy.config.action_channels
            )
            errors.append(100.0 * missed[:, EXECUTED])
        found, hands = {"loss": float(np.mean(losses))}, np.concatenate(errors)
        if hands.size:
            found |= {"hands_cm": float(hands.mean()), "hands_p90_cm": float(np.quantile(hands, 0.9))}
        return found

    def save(self, folder: Path, same: dict) -> None:
        """Write the training state to continue from."""
        about = {"step": self.n_steps_done, "total_steps": self.total_steps, "same": {**asdict(self.config), **same}}
        save_state(folder, self.policy, self.average, self.optimizer, about)

    def restore(self, folder: Path, same: dict) -> None:
        """Continue from the training state in `folder`."""
        about = load_state(folder, self.policy, self.average, self.optimizer, {**asdict(self.config), **same})
        self.n_steps_done, self.total_steps = about["step"], about["total_steps"]

    def export(self, folder: Path, robot: str, task: str, extra: dict) -> str:
        """Write the average weights as a checkpoint; returns its sha256."""
        train = {**asdict(self.config), "steps": self.n_steps_done, "total_steps": self.total_steps, **extra}
        return save_checkpoint(folder, self.average, robot, task, train)


def position_errors(said: np.ndarray, wanted: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
    """Distances in metres (b, chunk_size, hands) between the `.x .y .z` of chunks (b, chunk_size, a)."""
    parts = [name[:-2] for name in channels if name.endswith("_ee.x")]
    columns = [[channels.index(f"{part}.{axis}") for axis in "xyz"] for part in parts]
    apart = [np.linalg.norm(said[..., c] - wanted[..., c], axis=-1) for c in columns]
    return np.stack(apart, axis=-1) if apart else np.zeros((*said.shape[:-1], 0))


class _Loss(nn.Module):
    """The loss as a forward pass: what DistributedDataParallel hooks into."""

    def __init__(self, policy: ChunkPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, *arguments: object) -> torch.Tensor:
        return self.policy.loss(*arguments)  # type: ignore[arg-type]


def _check(config: TrainConfig, n_processes: int) -> None:
    if config.precision not in PRECISIONS:
        raise ValueError(f"precision {config.precision!r}; allowed: {', '.join(PRECISIONS)}")
    if config.micro_batches < 1 or config.micro_batches % n_processes or config.batch_size % config.micro_batches:
        raise ValueError(
            f"--batch-size {config.batch_size} in {config.micro_batches} --micro-batches by {n_processes} processes; "
            "allowed: a batch size that is a multiple of the micro-batches, and those of the processes"
        )
