"""Depth comes out as it went in; what is no picture is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from retake.cameras.codec import from_compressed_depth, to_compressed_depth, to_jpeg


def test_depth_is_exact_and_the_png_begins_after_the_transports_header() -> None:
    depth = np.random.default_rng(0).integers(0, 65536, (48, 64)).astype(np.uint16)
    data = to_compressed_depth(depth)
    np.testing.assert_array_equal(from_compressed_depth(data), depth)
    assert data[12:20] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("data", [b"", b"x" * 5, b"x" * 100, bytes(12) + to_jpeg(np.zeros((8, 8, 3), np.uint8))])
def test_what_is_no_depth_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="are no 16UC1"):
        from_compressed_depth(data)


@pytest.mark.parametrize("depth", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 1), np.uint16)])
def test_other_depth_is_refused(depth: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be uint16"):
        to_compressed_depth(depth)


def test_jpeg_keeps_the_order_of_colours() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    blue, green, back = cv2.imdecode(np.frombuffer(to_jpeg(red), np.uint8), cv2.IMREAD_COLOR)[8, 8]
    assert back > 240 and blue < 20 and green < 20
