"""MCAP reading that needs no footer: walk the whole records, check every chunk, repair what a killed writer left."""

import io
import mmap
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lz4.frame
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Header, Schema

from policies.mcap_log import MAGIC, MESSAGE, RECORD, EpisodeError, LogIndex, LogWriter, message_indexes

MAX_TAIL_BYTES = 16 << 20  # repair cuts no more than this: a longer bad tail is not an interrupted write
_FOOTER = struct.Struct("<BQQQI8s")
_FOOTER_START = RECORD.pack(Opcode.FOOTER, 20)
_CHUNK = struct.Struct("<QQQII")  # first and last log time, plain size, crc of the plain bytes, length of codec name
_SUPPORTED = {"": lambda data: data, "lz4": lz4.frame.decompress}


class LogMessage(NamedTuple):
    """One message as it was on the wire; times in ns."""

    topic: str
    msgtype: str
    log_ns: int
    publish_ns: int
    sequence: int
    data: bytes


def read_messages(path: Path, topics: Collection[str] | None = None) -> Iterator[LogMessage]:
    """Yield the messages in file order, up to the last whole chunk; `topics` None means all of them."""
    with _mapped(path) as view:
        index = LogIndex()
        for opcode, _, body in _records(path, view):
            if opcode == Opcode.CHUNK:
                plain = _unpack_chunk(path, body)
                if plain is None:
                    return
                yield from _chunk_messages(plain, index, topics)
            else:
                _note(index, opcode, body)


def scan(path: Path) -> LogIndex:
    """Return what the whole records of the file hold; every chunk is checked against its CRC."""
    index = LogIndex()
    block = b""
    with _mapped(path) as view:
        for opcode, start, body in _records(path, view):
            end = start + RECORD.size + len(body)
            if opcode == Opcode.CHUNK:
                plain = _unpack_chunk(path, body)
                if plain is None:
                    break
                entries = _chunk_entries(plain, index)
                offsets, block = message_indexes(entries, end)
                index.chunks.append(_chunk_index(start, end, body, offsets, len(block)))
                index.count(entries)
            elif opcode != Opcode.MESSAGE_INDEX:
                _note(index, opcode, body)
            index.end = end
        index.file_bytes = len(view)
        index.finished = bytes(view[-len(MAGIC):]) == MAGIC and bytes(view[-_FOOTER.size:]).startswith(_FOOTER_START)
    if index.chunks:
        last = index.chunks[-1]
        end_of_chunk = last.chunk_start_offset + last.chunk_length
        if index.end < end_of_chunk + len(block):
            index.end, index.owed = end_of_chunk, block
    return index


def repair_log(path: Path) -> LogIndex:
    """Cut the file after its last whole record and write the summary and footer. Does nothing to a finished file."""
    index = scan(path)
    if index.finished:
        return index
    tail = path.stat().st_size - index.end
    if tail > MAX_TAIL_BYTES:
        raise EpisodeError(f"{path}: damaged at byte {index.end}, {tail} bytes before the end; repair cuts at most "
                           f"{MAX_TAIL_BYTES}. What is before the damage can be read; restore a copy for the rest")
    LogWriter(path, index).finish()
    return index


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except FileNotFoundError:
        raise EpisodeError(f"{path} is missing; an episode is a folder with episode.mcap and episode.json") from None
    view = memoryview(data)
    try:
        yield view
    finally:
        view.release()


def _records(path: Path, view: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (opcode, offset, body) of the whole records of the data section; refuse a file that is not ours."""
    if bytes(view[:len(MAGIC)]) != MAGIC[:len(view)]:
        raise EpisodeError(f"{path} is not MCAP (it starts with {bytes(view[:8])!r}); allowed: what the recorder or "
                           "`retake collect` wrote")
    position = len(MAGIC)
    while position + RECORD.size <= len(view):
        opcode, length = RECORD.unpack_from(view, position)
        start, end = position, position + RECORD.size + length
        if opcode in (0, Opcode.DATA_END, Opcode.FOOTER) or end > len(view):
            return
        yield opcode, start, view[start + RECORD.size:end]
        position = end


def _note(index: LogIndex, opcode: int, body: memoryview) -> None:
    if opcode == Opcode.MESSAGE:
        raise EpisodeError("the MCAP has messages outside of chunks; allowed: chunks only (`mcap compress` makes them)")
    if opcode == Opcode.SCHEMA:
        schema = _read(Schema, body)
        index.schemas[schema.id] = schema
    elif opcode == Opcode.CHANNEL:
        channel = _read(Channel, body)
        if channel.message_encoding != "cdr":
            raise EpisodeError(f"topic {channel.topic} is encoded as {channel.message_encoding!r}; allowed: cdr")
        index.channels[channel.id] = channel
    elif opcode == Opcode.HEADER and (header := _read(Header, body)).profile != "ros2":
        raise EpisodeError(f"the MCAP profile is {header.profile!r}; allowed: ros2. Record with retake's recorder")


def _read(record_type: Any, body: memoryview) -> Any:
    try:
        return record_type.read(ReadDataStream(io.BytesIO(body)))
    except (McapError, struct.error, UnicodeDecodeError) as error:
        raise EpisodeError(f"a {record_type.__name__} record is malformed ({error!r}); restore a copy") from None


def _unpack_chunk(path: Path, body: memoryview) -> bytes | None:
    """Return the records inside a chunk, or None when its bytes are damaged."""
    if len(body) < _CHUNK.size:
        return None
    _, _, size, crc, name_length = _CHUNK.unpack_from(body)
    data_at = _CHUNK.size + name_length + 8
    codec = bytes(body[_CHUNK.size:_CHUNK.size + name_length]).decode("ascii", "replace")
    if codec not in _SUPPORTED:
        raise EpisodeError(f"{path}: chunks are compressed with {codec!r}; allowed: lz4, none (`mcap compress`)")
    try:
        plain = _SUPPORTED[codec](bytes(body[data_at:]))
    except RuntimeError:  # lz4's decoding error
        return None
    return plain if len(plain) == size and (crc == 0 or zlib.crc32(plain) == crc) else None


def _chunk_index(start: int, end: int, body: memoryview, offsets: dict[int, int], block_length: int) -> ChunkIndex:
    first_ns, last_ns, size, _, name_length = _CHUNK.unpack_from(body)
    return ChunkIndex(
        chunk_start_offset=start, chunk_length=end - start,
        compression=bytes(body[_CHUNK.size:_CHUNK.size + name_length]).decode(),
        compressed_size=len(body) - _CHUNK.size - name_length - 8, uncompressed_size=size,
        message_start_time=first_ns, message_end_time=last_ns,
        message_index_offsets=offsets, message_index_length=block_length)


def _chunk_entries(plain: bytes, index: LogIndex) -> dict[int, list[int]]:
    """Where the messages of a chunk are, as `message_indexes` wants it; schemas and channels go to `index`."""
    entries: dict[int, list[int]] = {}
    position = 0
    while position < len(plain):
        opcode, length = RECORD.unpack_from(plain, position)
        if opcode == Opcode.MESSAGE:
            _, _, channel_id, _, log_ns, _ = MESSAGE.unpack_from(plain, position)
            entries.setdefault(channel_id, []).extend((log_ns, position))
        else:
            _note(index, opcode, memoryview(plain)[position + RECORD.size:position + RECORD.size + length])
        position += RECORD.size + length
    return entries


def _chunk_messages(plain: bytes, index: LogIndex, topics: Collection[str] | None) -> Iterator[LogMessage]:
    names: dict[int, tuple[str, str] | None] = {}
    position = 0
    while position < len(plain):
        opcode, length = RECORD.unpack_from(plain, position)
        start, position = position, position + RECORD.size + length
        if opcode != Opcode.MESSAGE:  # other writers put schemas and channels into chunks
            _note(index, opcode, memoryview(plain)[start + RECORD.size:position])
            continue
        _, _, channel_id, sequence, log_ns, publish_ns = MESSAGE.unpack_from(plain, start)
        if channel_id not in names:
            channel = index.channels[channel_id]
            wanted = topics is None or channel.topic in topics
            names[channel_id] = (channel.topic, index.schemas[channel.schema_id].name) if wanted else None
        if (name := names[channel_id]) is not None:
            yield LogMessage(*name, log_ns, publish_ns, sequence, plain[start + MESSAGE.size:position])
