"""MP4 files of a LeRobot dataset: H.264 with each frame at its own time, written from JPEGs and read back by time."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from policies.lerobot_files import AGAIN
from policies.lerobot_stats import PIXEL_STRIDE, pixel_stats, sampled_frames
from policies.mcap_log import EpisodeError

TICKS = 1_000_000  # per second: presentation times are whole microseconds
ROUNDING_US = 2
TOLERANCE_S = 1e-4  # within which LeRobot wants a frame at the time that it asks for
# key frame at every second picture, as LeRobot's own videos have, for training reads them in random order; no B-frames,
# so that pictures are stored in the order of their times
CODEC, OPTIONS = "libx264", {"preset": "veryfast", "crf": "18", "g": "2", "bf": "0"}


@dataclass(frozen=True, slots=True)
class Video:
    """What was written."""

    frames: int
    stats: dict[str, np.ndarray]  # of the pixels, in [0, 1]


def picture_size(jpeg: bytes) -> tuple[int, int]:
    """(height, width) of a JPEG."""
    height, width = decode_picture(jpeg).shape[:2]
    return height, width


def write_video(path: Path, jpegs: Sequence[bytes], times_us: np.ndarray, fps: int) -> Video:
    """Encode `jpegs` with presentation times (n,) int64, us from 0, strictly increasing; `fps` is only a hint."""
    durations = np.diff(times_us, append=2 * times_us[-1] - times_us[-2])
    lasting = dict(zip(times_us.tolist(), durations.tolist(), strict=True))
    wanted, samples = sampled_frames(len(jpegs)), []
    height, width = picture_size(jpegs[0])
    if height % 2 or width % 2:
        raise EpisodeError(f"pictures of {width}x{height}: H.264 takes even sizes only; set the camera to one")
    written = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4", options={"video_track_timescale": str(TICKS)}) as container:
        stream = container.add_stream(CODEC, rate=fps, options=OPTIONS)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        for i, (jpeg, time_us) in enumerate(zip(jpegs, times_us.tolist(), strict=True)):
            picture = decode_picture(jpeg)
            if picture.shape[:2] != (height, width):
                raise EpisodeError(f"frame {i} is {picture.shape[1]}x{picture.shape[0]}, the first {width}x{height}; "
                                   "a video has one size; leave the episode out")
            if i in wanted:
                samples.append(picture[::PIXEL_STRIDE, ::PIXEL_STRIDE, ::-1].reshape(-1, 3))
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = time_us, Fraction(1, TICKS)
            written += _mux(container, stream.encode(frame), lasting)
        written += _mux(container, stream.encode(None), lasting)
    if written != len(jpegs):
        raise EpisodeError(f"{path}: the encoder made {written} frames of {len(jpegs)}; update the `av` package")
    return Video(written, pixel_stats(samples))


def _mux(container: av.container.OutputContainer, packets: Sequence[av.Packet], lasting: dict[int, int]) -> int:
    for packet in packets:
        assert packet.pts is not None  # the encoder got them all
        packet.duration = lasting[packet.pts]
        container.mux(packet)
    return len(packets)


def decode_picture(jpeg: bytes) -> np.ndarray:
    """A JPEG (or PNG) as (h, w, 3) uint8 BGR."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        raise EpisodeError(f"{len(jpeg)} bytes are no JPEG; allowed: a whole baseline JPEG; check the camera's driver")
    return picture


def uneven_frames(times_us: np.ndarray) -> int:
    """How many of a file's frames at (n,) us are not where an even rate puts them.

    LeRobot's torchcodec decoder counts on an even rate: 1 us is rounding, but for a frame that is 0.1 ms late it takes
    its neighbour, depending on the order of reads (seen with torchcodec 0.11).
    """
    even_us = np.linspace(times_us[0], times_us[-1], len(times_us))
    return int((np.abs(times_us - even_us) > ROUNDING_US).sum())


def read_frames(path: Path, times_s: Sequence[float], tolerance_s: float) -> Iterator[np.ndarray]:
    """Yield, for each of the rising times, the picture (h, w, 3) uint8 BGR that is presented nearest to it."""
    wanted, i = list(times_s), 0
    held: tuple[float, av.VideoFrame] | None = None
    for time_s, frame in _frames_from(path, wanted[0]):
        while i < len(wanted) and held is not None and wanted[i] - held[0] <= time_s - wanted[i]:
            yield _picture(path, held, wanted[i], tolerance_s)
            i += 1
        if i == len(wanted):
            return
        held = time_s, frame
    for time_s in wanted[i:]:
        if held is None:
            raise _torn(path, "no frame in it")
        yield _picture(path, held, time_s, tolerance_s)


def _frames_from(path: Path, start_s: float) -> Iterator[tuple[float, av.VideoFrame]]:
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if stream.time_base and start_s > 0:
                container.seek(max(0, int(start_s / stream.time_base) - 1), stream=stream)
            for frame in container.decode(stream):
                if frame.time is not None:
                    yield frame.time, frame
    except (av.FFmpegError, IndexError) as error:
        raise _torn(path, error) from None


def _picture(path: Path, held: tuple[float, av.VideoFrame], wanted_s: float, tolerance_s: float) -> np.ndarray:
    time_s, frame = held
    if abs(time_s - wanted_s) > tolerance_s:
        raise EpisodeError(f"{path} has no frame at {wanted_s:.4f} s, the nearest is at {time_s:.4f} s; restore the "
                           "file from a copy, or export the episode again")
    return frame.to_ndarray(format="bgr24")


def _torn(path: Path, why: object) -> EpisodeError:
    return EpisodeError(f"{path} is torn or no video ({why}); {AGAIN}")


def decoded_times_us(path: Path) -> np.ndarray:
    """Presentation times (n,) int64, us, of the frames that can be decoded: a torn or damaged file is refused."""
    if not path.is_file():
        raise EpisodeError(f"{path} is missing; {AGAIN}")
    if not _is_whole(path):
        raise _torn(path, "its boxes end elsewhere than the file")
    return np.array([round(time_s * TICKS) for time_s, _ in _frames_from(path, 0.0)], np.int64)


def _is_whole(path: Path) -> bool:
    """True when the file is MP4 boxes, each as long as it says: a decoder alone may not miss the last bytes."""
    with open(path, "rb") as file:
        end, position, names = os.fstat(file.fileno()).st_size, 0, set()
        while position + 8 <= end:
            file.seek(position)
            size, name = struct.unpack(">I4s", file.read(8))
            if size == 1:
                size = int.from_bytes(file.read(8), "big")
            if size < 8:
                return False
            position += size
            names.add(name)
    return position == end and {b"moov", b"mdat"} <= names
