"""A small film of an episode: a spectator's view, the robot's cameras beside it. Drawn after the episode, if wanted."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import cv2
import numpy as np

from sim.cameras import SPECTATOR, CameraRig

EVERY = 2  # camera frames: 8 pictures a second
LINGER_S = 1.0  # the last picture stays
TICKS_PER_S = 90_000  # of MP4 players


class Film:
    """Keeps render states, which is cheap, and draws them on demand, which is not."""

    def __init__(self, drawing: CameraRig) -> None:
        self._drawing = drawing
        rows = max(2, len(drawing.names))
        self._beside = round(drawing.width / rows / 2) * 2, drawing.height // rows  # of each camera, px
        self._size = drawing.width + self._beside[0], drawing.height
        self.clear()

    def clear(self) -> None:
        """Another episode."""
        self._frames: list[tuple[int, np.ndarray]] = []
        self._seen = 0

    def add(self, render_state: np.ndarray, stamp_ns: int) -> None:
        """One camera frame."""
        if self._seen % EVERY == 0:
            self._frames.append((stamp_ns, render_state))
        self._seen += 1

    def encoded(self) -> bytes:
        """MP4 (H.264), frames at their true times; empty without frames."""
        if not self._frames:
            return b""
        out, first_ns = io.BytesIO(), self._frames[0][0]
        shown = [*self._frames, (self._frames[-1][0] + round(LINGER_S * 1e9), self._frames[-1][1])]
        with av.open(out, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=10, options={"crf": "28", "preset": "veryfast"})
            stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, TICKS_PER_S)
            stream.width, stream.height = self._size
            for stamp_ns, state in shown:
                picture = self._picture(state)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.time_base, frame.pts = Fraction(1, TICKS_PER_S), (stamp_ns - first_ns) * TICKS_PER_S // 10**9
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return out.getvalue()

    def _picture(self, render_state: np.ndarray) -> np.ndarray:
        """(height, width, 3) uint8 RGB: the spectator's view, the cameras in a column at its side."""
        drawing = self._drawing
        views = drawing.draw(render_state, (SPECTATOR, *drawing.names))
        width, height = self._beside
        column = np.zeros((drawing.height, width, 3), np.uint8)
        for k, name in enumerate(drawing.names):
            column[k * height : (k + 1) * height] = cv2.resize(views[name], self._beside, interpolation=cv2.INTER_AREA)
        return np.hstack([views[SPECTATOR], column])
