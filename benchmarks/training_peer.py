"""Run by a Python that has LeRobot and what `policies` imports: times training steps of LeRobot's ACT network, in
LeRobot's own training loop or in ours, on one dataset.

Arguments: `lerobot` or `retake`, the dataset, a folder to write to, batch size, steps, threads, and the workers of
LeRobot's loader. Prints one line of JSON: seconds of each step from the WARM-th on, and processor seconds per step.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import nn

from policies.checkpoint import KINDS
from policies.chunk import CHUNK_SIZE
from policies.dataset import find_episodes, load_samples
from policies.normalise import Normaliser
from policies.policy import Batch, PolicyConfig
from policies.trainer import TrainConfig, Trainer

WARM = 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as LeRobot scales pictures for ACT


def main() -> None:
    """See the module."""
    side, root, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    batch_size, n_steps, threads, workers = map(int, sys.argv[4:8])
    torch.set_num_threads(threads)
    ends: list[tuple[float, float]] = []
    run = in_lerobot if side == "lerobot" else in_retake
    n_weights = run(root, out, batch_size, n_steps, workers, lambda: ends.append((time.perf_counter(), cpu_seconds())))
    ends = ends[WARM:]
    seconds = [b[0] - a[0] for a, b in zip(ends[:-1], ends[1:], strict=True)]
    cpu_s = (ends[-1][1] - ends[0][1]) / len(seconds)
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "weights": n_weights, "version": version("lerobot")}))


def cpu_seconds() -> float:
    """Of this process; LeRobot's loaders are waited for at its end only."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def in_lerobot(root: Path, out: Path, batch_size: int, n_steps: int, workers: int, stepped: Callable[[], None]) -> int:
    """`lerobot-train` as its command line runs it; `stepped` is called after each optimizer step."""
    from lerobot.scripts import lerobot_train

    update, sizes = lerobot_train.update_policy, []

    def updated(metrics: Any, policy: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = update(metrics, policy, *args, **kwargs)
        sizes.append(sum(p.numel() for p in policy.parameters()))
        stepped()
        return result

    lerobot_train.update_policy = updated
    sys.argv = [
        "lerobot-train", "--dataset.repo_id=bench", f"--dataset.root={root}", "--policy.type=act",
        "--policy.device=cpu", "--policy.push_to_hub=false", f"--policy.chunk_size={CHUNK_SIZE}",
        f"--policy.n_action_steps={CHUNK_SIZE}", "--policy.pretrained_backbone_weights=null",
        f"--batch_size={batch_size}", f"--steps={n_steps}", f"--num_workers={workers}", "--save_checkpoint=false",
        "--wandb.enable=false", f"--output_dir={out / 'lerobot'}", f"--log_freq={n_steps}",
    ]  # fmt: skip
    lerobot_train.train()
    return sizes[0]


def in_retake(root: Path, out: Path, batch_size: int, n_steps: int, workers: int, stepped: Callable[[], None]) -> int:
    """Our trainer with its augmentation, average weights and frame cache around the same network."""
    KINDS["lerobot-act"] = TheirAct  # type: ignore[assignment]
    episodes = find_episodes(root, ("success", "failure"))
    pictures = episodes[0].read().pictures
    cameras = tuple(sorted(pictures))
    height, width = next(pictures[cameras[0]]).shape[:2]
    samples = load_samples(episodes, out / "cache", cameras, width, height)
    trainer = Trainer(TrainConfig("lerobot-act", batch_size=batch_size, learning_rate=1e-5), samples, None, cameras)
    trainer.total_steps = n_steps
    for _ in range(n_steps):
        trainer.step()
        stepped()
    return sum(p.numel() for p in trainer.policy.parameters())


class TheirAct(nn.Module):
    """LeRobot's ACT network with its defaults, where our trainer has a policy."""

    Config = PolicyConfig

    def __init__(self, config: PolicyConfig, state: Normaliser, action: Normaliser) -> None:
        super().__init__()
        self.config, self.state_normaliser, self.action_normaliser = config, state, action
        picture = PolicyFeature(FeatureType.VISUAL, (3, config.height, config.width))
        self.network = ACTPolicy(ACTConfig(
            chunk_size=config.chunk_size, n_action_steps=config.chunk_size, pretrained_backbone_weights=None,
            device="cpu",
            input_features={
                "observation.state": PolicyFeature(FeatureType.STATE, (len(config.state_channels),)),
                **{f"observation.images.{camera}": picture for camera in config.cameras},
            },
            output_features={"action": PolicyFeature(FeatureType.ACTION, (len(config.action_channels),))},
        ))  # fmt: skip
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    @property
    def encoders(self) -> nn.ModuleList:
        return nn.ModuleList([self.network.model.backbone])

    def loss(self, batch: Batch, generator: torch.Generator, state_noise: float, state_dropout: float) -> torch.Tensor:
        images = batch.images.permute(0, 1, 4, 2, 3).float() / 255.0
        images = (images * batch.gain + batch.offset - self.mean) / self.std
        seen = {f"observation.images.{camera}": images[:, i] for i, camera in enumerate(self.config.cameras)}
        is_pad = torch.zeros(batch.chunk.shape[:2], dtype=torch.bool)
        state = batch.state + state_noise * torch.randn(batch.state.shape, generator=generator)
        return self.network({"observation.state": state, "action": batch.chunk, "action_is_pad": is_pad, **seen})[0]


if __name__ == "__main__":
    main()
