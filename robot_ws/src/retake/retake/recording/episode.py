"""One episode being written from tapped messages."""

from __future__ import annotations

import shutil
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

from policies.episode_file import EpisodeError, EpisodeWriter, episode_folder, is_unfinished, repair
from policies.episode_meta import META_NAME
from policies.episode_notes import EpisodeNotes
from retake.errors import UserError
from retake.recording.taps import Received

SYNC_S = 0.25  # a power cut costs at most this more than a kill
RESERVE_BYTES = 64 << 20  # with less than this left the episode ends in order, rather than in the middle of a write
_STAMP = struct.Struct("<iI")  # bytes 4..12 of a serialized message that starts with a header
_BIG_ENDIAN_STAMP = struct.Struct(">iI")


class ClockLine:
    """Arrival times of the system clock on the node's clock: a line through the last two readings of both."""

    def __init__(self, wall_ns: int, clock_ns: int) -> None:
        self._from = self._to = (wall_ns, clock_ns)

    def read(self, wall_ns: int, clock_ns: int) -> None:
        if wall_ns > self._to[0]:
            self._from, self._to = self._to, (wall_ns, clock_ns)

    def at(self, wall_ns: int) -> int:
        """The node's clock when the system clock showed `wall_ns`, between the two readings (ns)."""
        (wall0, clock0), (wall1, clock1) = self._from, self._to
        if wall_ns >= wall1 or wall1 == wall0:
            return clock1
        if wall_ns <= wall0:
            return clock0
        return clock0 + (clock1 - clock0) * (wall_ns - wall0) // (wall1 - wall0)


class Recording:
    """Writes batches of messages; a thread of its own waits for the disk. OSError when the disk is full."""

    def __init__(self, root: Path, seed: int | None, meta: dict) -> None:
        tag = f"n{len(list(root.iterdir()))}" if seed is None else seed
        self._writer = EpisodeWriter(episode_folder(root, tag), {"seed": seed, **meta})
        self._notes = EpisodeNotes(meta["robot"])
        self._disk_error: OSError | None = None
        self._stop = threading.Event()
        self._syncing = threading.Thread(target=self._sync, name="disk", daemon=True)
        self._syncing.start()

    @property
    def folder(self) -> Path:
        return self._writer.folder

    @property
    def bytes_written(self) -> int:
        return self._writer.bytes_written

    def write(self, messages: Sequence[Received], line: ClockLine) -> None:
        """Append `messages`; call it at least every 0.1 s, also with nothing, so that nothing waits in memory."""
        noted = self._notes.topics
        write_raw = self._writer.write_raw
        for received_ns, tap, sequence, data in messages:
            log_ns = line.at(received_ns)
            if tap.has_header:
                unpack = _STAMP if data[1] == 1 else _BIG_ENDIAN_STAMP
                sec, nanosec = unpack.unpack_from(data, 4)
                stamp_ns = sec * 1_000_000_000 + nanosec
            else:
                stamp_ns = log_ns
            write_raw(tap.topic, tap.msgtype, data, max(stamp_ns, 0), log_ns, sequence)
            if tap.topic in noted:
                self._notes.note(tap.topic, log_ns, data)
        self._writer.flush_due()
        if self._disk_error is not None:
            raise self._disk_error

    def end(self, outcome: str, by: str, lost: dict[str, int], out_of_time: bool = False) -> dict:
        """Finish the files and return the meta; `lost` messages per topic, of those that lost any."""
        self._stop.set()
        self._syncing.join()
        self._writer.meta.update(self._notes.meta(), lost=lost)
        try:
            self._writer.close(outcome, by, out_of_time)
        except OSError:
            self._writer.abandon()
            raise
        return self._writer.meta

    def _sync(self) -> None:
        while not self._stop.wait(SYNC_S):
            try:
                self._writer.sync()
            except OSError as error:
                self._disk_error = error  # raised by the next write
                return


def free_bytes(root: Path) -> int:
    return shutil.disk_usage(root).free


def seed_of(ground_truth: bytes) -> int | None:
    """The seed in a serialized ground_truth/task (std_msgs/String of JSON)."""
    notes = EpisodeNotes("")
    notes.note("//ground_truth/task", 0, ground_truth)
    return notes.meta().get("seed")


def prepare_root(root: Path) -> tuple[list[str], list[str]]:
    """Make the folder and finish every episode that a killed recorder left in it.

    Returns the repaired ids, and why others could not be repaired, as text.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot record to {root} ({error.strerror}); set root to one that can be written") from error
    repaired, refused = [], []
    for path in sorted(root.glob(f"*/{META_NAME}")):
        try:
            if is_unfinished(path.parent):
                repair(path.parent)
                repaired.append(path.parent.name)
        except (EpisodeError, OSError) as error:
            refused.append(str(error))
    return repaired, refused
