"""A recording as a film: its cameras side by side, and under them who had the robot. Frames keep their true times."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from policies.atomic import replacing
from policies.episode_file import LOG_NAME, EpisodeError, read_messages
from policies.recorded import COLOR, ended_meta, jpeg
from policies.timeline import COLOURS, Span, name_at, segments

BAND_PX = 28
TICKS_PER_S = 90_000  # of MP4 players
NOMINAL_FPS = 30  # what the file says of itself; each frame has its own time


def write_video(folder: Path, out: Path) -> tuple[int, float]:
    """Write an MP4 (H.264) to `out` in one step; the number of frames and the length in s."""
    meta = ended_meta(folder)
    frames, first_ns, stamp = 0, 0, 0
    with replacing(out) as unready, av.open(str(unready), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=NOMINAL_FPS, options={"crf": "21", "preset": "veryfast"})
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, TICKS_PER_S)
        for stamp, picture in pictures(folder, meta):
            if not frames:
                first_ns, (stream.height, stream.width) = stamp, picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.time_base, frame.pts = Fraction(1, TICKS_PER_S), (stamp - first_ns) * TICKS_PER_S // 10**9
            container.mux(stream.encode(frame))
            frames += 1
        container.mux(stream.encode())
    return frames, (stamp - first_ns) / 1e9


def pictures(folder: Path, meta: dict) -> Iterator[tuple[int, np.ndarray]]:
    """Stamp and picture (height, width, 3) uint8 BGR of every frame of the first camera; the others' newest beside.

    Frames before the first of another camera are left out.
    """
    prefix = f"/{meta['robot']}/camera/"
    names = sorted(topic.removeprefix(prefix).split("/")[0] for topic in meta["messages"]
                   if topic.startswith(prefix) and topic.endswith(COLOR))
    if not names:
        raise EpisodeError(f"{folder}: no camera was recorded, so there is nothing to see; choose another episode")
    topics = {f"{prefix}{name}/{COLOR}": name for name in names}
    newest: dict[str, deque[tuple[int, bytes]]] = {name: deque(maxlen=4) for name in names}
    spans = segments(meta)
    pending: tuple[int, bytes] | None = None  # shown when the next one comes: by then the others' are here
    for message in read_messages(Path(folder) / LOG_NAME, topics):
        name = topics[message.topic]
        if name == names[0]:
            yield from _shown(pending, [newest[other] for other in names[1:]], spans, meta["started_ns"])
            pending = message.publish_ns, jpeg(message.data)
        newest[name].append((message.publish_ns, jpeg(message.data)))
    yield from _shown(pending, [newest[other] for other in names[1:]], spans, meta["started_ns"])


def _shown(first: tuple[int, bytes] | None, others: Sequence[deque[tuple[int, bytes]]], spans: Sequence[Span],
           start_ns: int) -> Iterator[tuple[int, np.ndarray]]:
    """One composed picture; none before there is one of every camera."""
    if first is None:
        return
    stamp, data = first
    beside = [[each for each in newest if each[0] <= stamp][-1:] for newest in others]
    if not all(beside):
        return
    views = [_decoded(each) for each in (data, *(found[0][1] for found in beside))]
    height = views[0].shape[0] // 2 * 2
    row = np.hstack([_of_height(view, height) for view in views])
    yield stamp, np.vstack([row, _band(row.shape[1], name_at(spans, stamp), (stamp - start_ns) / 1e9)])


def _decoded(data: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise EpisodeError(f"a recorded picture of {len(data)} bytes is no JPEG; check the camera's driver")
    return picture


def _of_height(picture: np.ndarray, height: int) -> np.ndarray:
    """Scaled to `height`, of even width: H.264 wants both even."""
    width = round(picture.shape[1] * height / picture.shape[0] / 2) * 2
    return picture if picture.shape[:2] == (height, width) else cv2.resize(picture, (width, height))


def _band(width: int, segment: str, seconds: float) -> np.ndarray:
    band = np.full((BAND_PX, width, 3), 24, np.uint8)
    colour = COLOURS.get(segment, COLOURS["pause"])
    band[:6] = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]  # blue, green, red
    cv2.putText(band, f"{seconds:6.2f} s  {segment}", (8, BAND_PX - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
                (235, 235, 235), 1, cv2.LINE_AA)
    return band
