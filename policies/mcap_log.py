"""MCAP as an append-only log: the writer. `mcap_scan` reads and repairs.

Format: https://mcap.dev/spec. The record types come from the `mcap` package; the writer here exists because it costs a
quarter of `mcap.writer.Writer` per message, keeps every byte before the last flush valid when the disk fills, and can
go on from a file that a killed process left behind.
"""

import fcntl
import os
import struct
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import lz4.frame
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, ChunkIndex, DataEnd, Footer, Header, McapRecord, Schema, Statistics

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 1 << 20
FLUSH_S = 0.1  # a killed process loses at most this plus the caller's own queue

MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel id, sequence, log time, publish time
RECORD = struct.Struct("<BQ")


class EpisodeError(ValueError):
    """A recording that cannot be written or read: what, what is allowed, what to do."""


@dataclass(slots=True)
class LogIndex:
    """What the summary section of a log says; `end` is the offset after the last whole record."""

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[ChunkIndex] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    end: int = 0
    owed: bytes = b""  # message index records of the last chunk that a killed writer did not get to
    finished: bool = False
    file_bytes: int = 0

    def count(self, entries: dict[int, list[int]]) -> None:
        """Add the messages of one chunk: per channel id [log time, offset, log time, offset, ...]."""
        for channel_id, pairs in entries.items():
            self.counts[channel_id] = self.counts.get(channel_id, 0) + len(pairs) // 2

    def topic_counts(self) -> dict[str, int]:
        return {c.topic: self.counts.get(c.id, 0) for c in self.channels.values()}


def _record_bytes(*records: McapRecord) -> bytes:
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    return builder.end()


class LogWriter:
    """Appends messages to an MCAP file that only this process writes (flock). One thread at a time."""

    def __init__(self, path: Path, index: LogIndex | None = None) -> None:
        """Start a new file, or with an `index` from `scan` go on after its last whole record."""
        self.path = path
        self.index = LogIndex() if index is None else index
        self._file = open(path, "xb" if index is None else "r+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise EpisodeError(f"{path} is being written by another process; wait until that recording ends") from None
        if os.fstat(self._file.fileno()).st_size != self.index.file_bytes:
            self._file.close()
            raise EpisodeError(f"{path} grew while it was read; wait until its recording ends")
        self._parts: list[bytes] = []
        self._entries: dict[int, list[int]] = {}
        self._size = 0
        self._first_ns = self._last_ns = 0
        self._flushed_at = time.monotonic()
        self._file.truncate(self.index.end)
        self._append(self.index.owed if self.index.end else MAGIC + _record_bytes(Header("ros2", "retake")))

    def add_channel(self, topic: str, msgtype: str, definition: str) -> int:
        """Return the new channel's id; `definition` is the ros2msg text of the type and of those it uses."""
        schema = next((s for s in self.index.schemas.values() if s.name == msgtype), None)
        new = []
        if schema is None:
            schema = Schema(id=len(self.index.schemas) + 1, name=msgtype, encoding="ros2msg", data=definition.encode())
            new.append(schema)
        channel = Channel(len(self.index.channels) + 1, topic, "cdr", metadata={}, schema_id=schema.id)
        self._append(_record_bytes(*new, channel))
        self.index.schemas[schema.id] = schema
        self.index.channels[channel.id] = channel
        return channel.id

    def add(self, channel_id: int, sequence: int, log_ns: int, publish_ns: int, data: bytes) -> None:
        size = len(data)
        self._parts += (MESSAGE.pack(5, size + 22, channel_id, sequence & 0xFFFFFFFF, log_ns, publish_ns), data)
        entries = self._entries.setdefault(channel_id, [])
        entries += (log_ns, self._size)
        if self._size == 0:
            self._first_ns = self._last_ns = log_ns
        elif log_ns > self._last_ns:
            self._last_ns = log_ns
        elif log_ns < self._first_ns:
            self._first_ns = log_ns
        self._size += size + 31
        if self._size > CHUNK_BYTES or time.monotonic() - self._flushed_at > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered as one chunk. On OSError the file still ends with a whole record."""
        self._flushed_at = time.monotonic()
        if self._parts:
            plain = b"".join(self._parts)
            packed = lz4.frame.compress(plain)
            chunk = Chunk("lz4", packed, message_start_time=self._first_ns, message_end_time=self._last_ns,
                          uncompressed_crc=zlib.crc32(plain), uncompressed_size=len(plain))
            entries = self._entries
            self._parts, self._entries, self._size = [], {}, 0
            self._append_chunk(_record_bytes(chunk), chunk, entries)

    def flush_due(self) -> None:
        """Flush if the last one is FLUSH_S ago."""
        if time.monotonic() - self._flushed_at > FLUSH_S:
            self.flush()

    def sync(self) -> None:
        """Wait until what was flushed is on the disk; the one method that another thread may call."""
        os.fdatasync(self._file.fileno())

    def _append_chunk(self, record: bytes, chunk: Chunk, entries: dict[int, list[int]]) -> None:
        offsets, block = message_indexes(entries, self.index.end + len(record))
        start = self.index.end
        self._append(record + block)
        self.index.chunks.append(ChunkIndex(
            chunk_start_offset=start, chunk_length=len(record), compression=chunk.compression,
            compressed_size=len(chunk.data), uncompressed_size=chunk.uncompressed_size,
            message_start_time=chunk.message_start_time, message_end_time=chunk.message_end_time,
            message_index_offsets=offsets, message_index_length=len(block)))
        self.index.count(entries)

    def _append(self, data: bytes) -> None:
        self._file.seek(self.index.end)
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view):]
        except OSError:
            self._file.truncate(self.index.end)
            raise
        self.index.end += len(data)

    def finish(self) -> None:
        """Write the summary section and the footer, and close."""
        self.flush()
        self._file.truncate(self.index.end)
        end = self.index.end
        try:
            self._append(_summary_bytes(self.index))
            os.fdatasync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            self.index.end = end
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Close without a footer; `finish` is the proper end."""
        self._file.close()


def message_indexes(entries: dict[int, list[int]], position: int) -> tuple[dict[int, int], bytes]:
    offsets, blocks = {}, []
    for channel_id, pairs in entries.items():
        offsets[channel_id] = position
        body = struct.pack(f"<HI{len(pairs)}Q", channel_id, len(pairs) * 8, *pairs)
        blocks.append(RECORD.pack(Opcode.MESSAGE_INDEX, len(body)) + body)
        position += len(body) + RECORD.size
    return offsets, b"".join(blocks)


def _summary_bytes(index: LogIndex) -> bytes:
    chunks = index.chunks
    statistics = Statistics(
        message_count=sum(index.counts.values()), channel_message_counts=dict(index.counts), chunk_count=len(chunks),
        channel_count=len(index.channels), schema_count=len(index.schemas), attachment_count=0, metadata_count=0,
        message_start_time=min((c.message_start_time for c in chunks), default=0),
        message_end_time=max((c.message_end_time for c in chunks), default=0))
    data_end = _record_bytes(DataEnd(0))
    summary = _record_bytes(*index.schemas.values(), *index.channels.values(), statistics, *chunks)
    start = index.end + len(data_end)
    footer = RECORD.pack(Opcode.FOOTER, 20) + struct.pack("<QQ", start, 0)
    return data_end + summary + _record_bytes(Footer(start, 0, zlib.crc32(summary + footer))) + MAGIC
