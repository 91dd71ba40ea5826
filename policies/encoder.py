"""Small image encoders: a few convolutions, then a spatial softmax that says *where* each learned feature is.

The output is image coordinates, not appearance, which is what a centimetre needs from few demonstrations. Strides stop
at 4 and soft-argmax interpolates between cells, so a 128x96 image still resolves about a third of a pixel.

Two kinds, by `PolicyConfig.encoder`. `patch`: pictures are cut into patches of 4x4 pixels and all cameras go through in
one pass; on one AVX2 core it takes a third of the time of `keypoint`, which begins with convolutions at half resolution
and is what older checkpoints have.
"""

from __future__ import annotations

import torch
from torch import nn

PATCH = 4  # pixels
PATCH_WIDTH = 32  # channels per camera


class SpatialSoftmax(nn.Module):
    """Feature maps (b, k, h, w) to the expected position of each (b, k, 2), x then y, in [-1, 1] across the image."""

    def __init__(self, height: int, width: int, n_keypoints: int) -> None:
        super().__init__()
        self.log_sharpness = nn.Parameter(torch.zeros(n_keypoints))
        self.places: torch.Tensor  # (2, h w) x then y of each position
        y, x = (((torch.arange(n) + 0.5) * 2.0 / n - 1.0) for n in (height, width))
        self.register_buffer("places", torch.stack([x.repeat(height), y.repeat_interleave(width)]), persistent=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        # In the order in which channels_last has them in memory, positions first: two thirds of the time.
        score = maps.permute(0, 2, 3, 1).flatten(1, 2) * self.log_sharpness.exp()  # (b, h w, k)
        return (self.places @ torch.softmax(score, dim=1)).transpose(1, 2)


class PatchEncoders(nn.Module):
    """Images (b, cameras, 3, h, w) in [-1, 1] to keypoints (b, cameras, n_keypoints, 2).

    Every camera has weights of its own, as groups of the same convolutions: what a small convolution costs on a CPU is
    mostly that it is called. No normalisation: a tenth of the time, for the same loss.
    """

    def __init__(self, cameras: int, height: int, width: int, n_keypoints: int) -> None:
        super().__init__()
        if height % PATCH or width % PATCH:
            raise ValueError(f"pictures of {width}x{height}; allowed: multiples of {PATCH} for the encoder 'patch'")
        inside, outside = PATCH_WIDTH * cameras, n_keypoints * cameras
        self.convolutions = nn.Sequential(
            nn.Conv2d(3 * PATCH**2 * cameras, inside, 3, padding=1, groups=cameras), nn.ReLU(inplace=True),
            nn.Conv2d(inside, inside, 3, padding=1, groups=cameras), nn.ReLU(inplace=True),
            nn.Conv2d(inside, outside, 1, groups=cameras),
        )  # fmt: skip
        self.keypoints = SpatialSoftmax(height // PATCH, width // PATCH, outside)
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        b, cameras, _, h, w = images.shape
        patches = images.unflatten(4, (w // PATCH, PATCH)).unflatten(3, (h // PATCH, PATCH))
        patches = patches.permute(0, 3, 5, 1, 4, 6, 2).reshape(b, h // PATCH, w // PATCH, -1)  # as pictures lie
        return self.keypoints(self.convolutions(patches.permute(0, 3, 1, 2))).unflatten(1, (cameras, -1))


class KeypointEncoders(nn.ModuleList):
    """Images (b, cameras, 3, h, w) in [-1, 1] to keypoints (b, cameras, n_keypoints, 2), one encoder per camera."""

    def __init__(self, cameras: int, height: int, width: int, n_keypoints: int) -> None:
        super().__init__(KeypointEncoder(height, width, n_keypoints) for _ in range(cameras))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([encoder(images[:, i]) for i, encoder in enumerate(self)], dim=1)


class KeypointEncoder(nn.Module):
    """Images (b, 3, h, w) in [-1, 1] to keypoints (b, n_keypoints, 2). Normalised by group: no batch statistics."""

    def __init__(self, height: int, width: int, n_keypoints: int) -> None:
        super().__init__()
        # No norm after the stem: at half resolution it costs as much as the whole rest on a CPU (measured 2x).
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, 32, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.GroupNorm(8, 64), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.GroupNorm(8, 64), nn.ReLU(),
            nn.Conv2d(64, n_keypoints, 1),
        )  # fmt: skip
        self.keypoints = SpatialSoftmax(height // 4, width // 4, n_keypoints)
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.keypoints(self.convolutions(images.contiguous(memory_format=torch.channels_last)))


ENCODERS: dict[str, type[PatchEncoders] | type[KeypointEncoders]] = {
    "patch": PatchEncoders, "keypoint": KeypointEncoders,
}  # fmt: skip
