"""Adam on gradients whose common norm is clipped, for nets so small that what surrounds a step takes longer than it:
torch's own kernel, which divides by the norm on its way, without the optimiser's and the clipping's bookkeeping.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim.adam import adam


class Adam:
    """Of some parameters, with torch's defaults (arXiv 1412.6980). `state`: by name, a tensor per parameter."""

    def __init__(self, parameters: Sequence[torch.Tensor], learning_rate: float, grad_clip: float) -> None:
        """`grad_clip`: the norm that the gradients have at most."""
        self._parameters, self._learning_rate, self._grad_clip = list(parameters), learning_rate, grad_clip
        self.state = {
            "exp_avg": [torch.zeros_like(p, requires_grad=False) for p in parameters],
            "exp_avg_sq": [torch.zeros_like(p, requires_grad=False) for p in parameters],
            "step": [torch.zeros(()) for _ in parameters],
        }

    @torch.no_grad()
    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step down these, one per parameter; they are used up."""
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        adam(
            self._parameters, list(gradients), self.state["exp_avg"], self.state["exp_avg_sq"], [], self.state["step"],
            fused=True, grad_scale=(norm / self._grad_clip).clamp(min=1.0), amsgrad=False, beta1=0.9, beta2=0.999,
            lr=self._learning_rate, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip
