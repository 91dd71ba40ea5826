"""Camera frames for a policy: JPEG to a small RGB picture (the one way, for training and serving), and augmentation."""

from __future__ import annotations

import cv2
import numpy as np

MAX_SHIFT_PX = 4


def decode_frame(jpeg: bytes, width: int, height: int) -> np.ndarray:
    """JPEG to (height, width, 3) uint8 RGB, area-averaged; the source has the same shape and no fewer pixels."""
    return shrink(decode_jpeg(jpeg), width, height)


def decode_jpeg(jpeg: bytes) -> np.ndarray:
    """JPEG to RGB (h, w, 3) uint8 as large as it is."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB) if jpeg else None
    if picture is None:
        raise ValueError(f"{len(jpeg)} bytes are no JPEG; allowed: a whole baseline JPEG; check the camera's driver")
    return picture


def shrink(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """RGB picture (h, w, 3) uint8 to (height, width, 3) by area."""
    h, w = picture.shape[:2]
    if abs(w * height - h * width) > max(w, h) or w < width or h < height:
        raise ValueError(
            f"a {w}x{h} picture for a policy that takes {width}x{height}; allowed: the same aspect ratio, "
            "no fewer pixels; set the camera to the size it had in the recordings"
        )
    return np.ascontiguousarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def shifted(picture: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """Picture (h, w, 3) seen through a window moved by (dx, dy) pixels; edges repeat."""
    h, w = picture.shape[:2]
    top, bottom, left, right = max(-dy, 0), max(dy, 0), max(-dx, 0), max(dx, 0)
    seen = picture[bottom : h - top, right : w - left]
    return cv2.copyMakeBorder(seen, top, bottom, left, right, cv2.BORDER_REPLICATE)


def random_shifts(rng: np.random.Generator, batch: int, n_cameras: int) -> np.ndarray:
    """Window moves (batch, n_cameras, 2) int, x then y. The encoder is told them, so a shift never lies about where
    the box is: at 1 m a pixel of a 128-pixel picture is about a centimetre."""
    return rng.integers(-MAX_SHIFT_PX, MAX_SHIFT_PX + 1, (batch, n_cameras, 2))


def random_colours(rng: np.random.Generator, batch: int, n_cameras: int) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset (batch, n_cameras, 3, 1, 1) float32 on pictures in [-1, 1]: contrast, brightness, balance."""
    contrast = rng.uniform(0.75, 1.25, (batch, n_cameras, 1, 1, 1))
    balance = rng.uniform(0.92, 1.08, (batch, n_cameras, 3, 1, 1))
    brightness = rng.uniform(-0.2, 0.2, (batch, n_cameras, 1, 1, 1))
    return (contrast * balance).astype(np.float32), np.broadcast_to(brightness, balance.shape).astype(np.float32)
