"""One-step policy: what a flow or diffusion policy makes of noise in several evaluations, in one.

Consistency distillation with the teacher's whole way as the target: |C(noise, context) - sg(Psi(noise, context))|^2,
where Psi is the teacher's deterministic sampling from the same noise (RL-100, arXiv 2510.14830; Song et al. 2023 from
the noisiest level only). The student starts as a copy of the teacher and keeps its encoder as it is, so training needs
no pictures, only what the encoder saw in them, and any noise is a sample: it takes minutes.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import nn
from torch.nn import functional

from policies.generative import GenerativePolicy, NoiseLevel
from policies.normalise import Normaliser
from policies.policy import Batch, PolicyConfig
from policies.predictor import TEMPORAL_ENSEMBLING
from policies.prefix import Prefix


class ConsistencyPolicy(GenerativePolicy):
    """One evaluation from noise to chunk.

    A prefix cannot guide a way of one step. Instead N_DRAWN chunks are drawn for the one encoded observation, the one
    nearest to the prefix is kept (the future that goes on from there, if there are several), and drawn to it. The mean
    of overlapping chunks is smoother where they meet (arm_pick, 50 seeds: accelerations there 1.0 against 1.5 times
    those elsewhere, 47 against 45 successes), so that is its own way.
    """

    execution = TEMPORAL_ENSEMBLING

    NOISIEST = NoiseLevel(0.0, 0.0, 1.0)
    N_DRAWN = 16

    def __init__(self, config: PolicyConfig, state: Normaliser, action: Normaliser) -> None:
        super().__init__(config, state, action)
        del self.time  # there is only one
        self.noisiest = nn.Parameter(torch.zeros(config.context_dim))  # what the network is told of it

    def moment(self, t: torch.Tensor) -> torch.Tensor:
        """The same whenever."""
        return self.noisiest

    @classmethod
    def distilling(cls, teacher: GenerativePolicy) -> ConsistencyPolicy:
        """A student to train with `loss`: the teacher's weights without its last block, of which those after the
        encoder learn."""
        shared = {field.name: getattr(teacher.config, field.name) for field in dataclasses.fields(PolicyConfig)}
        shared["n_blocks"] = max(teacher.config.n_blocks - 1, 1)
        student = cls(PolicyConfig(**shared), teacher.state_normaliser, teacher.action_normaliser)
        own = student.state_dict().keys()
        weights = {name: value for name, value in teacher.state_dict().items() if name in own}
        with torch.no_grad():
            weights["noisiest"] = teacher.moment(torch.full((1, 1), cls.NOISIEST.t, device=teacher.device))[0]
        student.load_state_dict(weights)
        for encoder in (student.encoders, student.context):
            encoder.requires_grad_(False)
        student.teacher = (teacher.eval().requires_grad_(False),)
        return student.to(teacher.device)

    teacher: tuple[GenerativePolicy, ...] = ()  # in a tuple, so that its weights are no part of the student's

    def levels(self) -> list[NoiseLevel]:
        return [self.NOISIEST]

    def clean_chunk(self, noisy: torch.Tensor, level: NoiseLevel, context: torch.Tensor) -> torch.Tensor:
        return self.network(noisy, torch.full_like(noisy[:, :1], level.t), context)

    def denoise(self, noise: torch.Tensor, context: torch.Tensor, prefix: Prefix | None = None) -> torch.Tensor:
        """The chunk (b, flat) that noise (b, flat) becomes, in one evaluation; nothing is chosen between here."""
        clean = self.clean_chunk(noise, self.NOISIEST, context)
        return clean if prefix is None else prefix.inpaint(clean)

    def draw(self, context: torch.Tensor, generator: torch.Generator, prefix: Prefix | None = None) -> torch.Tensor:
        if prefix is None:
            return super().draw(context, generator)
        n, shape = len(context), (self.config.chunk_size, len(self.config.action_channels))
        noise = self.normal((n * self.N_DRAWN, *shape), generator).flatten(1)
        drawn = self.denoise(noise, context.repeat_interleave(self.N_DRAWN, dim=0)).unflatten(0, (n, self.N_DRAWN))
        nearest = prefix.distance(drawn).argmin(dim=1)
        return prefix.inpaint(drawn[torch.arange(n), nearest]).unflatten(1, shape)

    def loss(self, batch: Batch, generator: torch.Generator, state_noise: float, state_dropout: float) -> torch.Tensor:
        """Squared distance to the teacher's chunks; the batch's own chunk is not used."""
        if not self.teacher:
            raise ValueError("a one-step policy has no teacher; allowed: `retake train --policy consistency --teacher "
                             "CHECKPOINT`; it cannot be trained on recordings alone")
        with torch.no_grad():
            context = self.encode_noisy(batch, generator, state_noise, state_dropout).repeat(self.NOISES_PER_SAMPLE, 1)
            noise = self.normal((len(context), self.leave.out_features), generator)
            wanted = self.teacher[0].denoise(noise, context)
        return functional.mse_loss(self.clean_chunk(noise, self.NOISIEST, context), wanted)
