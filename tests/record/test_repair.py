"""What a killed writer, a power cut or a full disk leaves is readable and becomes a whole file again."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from policies.episode_file import (
    EpisodeError,
    EpisodeWriter,
    is_unfinished,
    read_messages,
    read_meta,
    repair,
    write_meta,
)
from policies.mcap_log import FLUSH_S
from policies.mcap_scan import MAX_TAIL_BYTES, scan

TOPIC, CHANNELS = "/g1/measured_action", ("a", "b", "c")
PER_CHUNK, CHUNKS = 4, 3


def write_chunks(folder: Path) -> tuple[bytes, list[int], dict]:
    """Return the finished file, the file's size after each flush, and the meta of an unfinished episode."""
    writer = EpisodeWriter(folder, {"seed": 1})
    unfinished = dict(writer.meta)
    sizes = []
    for chunk in range(CHUNKS):
        for i in range(PER_CHUNK):
            writer.write_vector(TOPIC, CHANNELS, np.full(3, i), (chunk * PER_CHUNK + i) * 20_000_000)
        time.sleep(FLUSH_S + 0.01)
        writer.flush_due()
        sizes.append(writer.bytes_written)
    writer.close("success", "operator")
    return (folder / "episode.mcap").read_bytes(), sizes, unfinished


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: waiting for the disk a thousand times would take a minute."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


def test_cut_at_every_byte_of_the_last_chunk(memory: Path) -> None:
    whole, sizes, unfinished = write_chunks(memory / "whole")
    cut_folder = memory / "cut"
    cut_folder.mkdir()
    path = cut_folder / "episode.mcap"
    for cut in range(sizes[-2], len(whole)):
        path.write_bytes(whole[:cut])
        write_meta(cut_folder, unfinished)
        read = [m.log_ns for m in read_messages(path)]
        assert len(read) >= PER_CHUNK * (CHUNKS - 1) and read == [i * 20_000_000 for i in range(len(read))]
        assert len(read) == PER_CHUNK * CHUNKS or cut < sizes[-1]
        meta = repair(cut_folder)
        assert scan(path).finished and [m.log_ns for m in read_messages(path)] == read
        assert meta["messages"] == {TOPIC: len(read)} and meta["ended_ns"] == read[-1] and meta["outcome"] == "aborted"
        if cut >= sizes[-1]:
            assert path.read_bytes() == whole
        if cut % 50 == 0:
            with AnyReader([path]) as reader:
                assert reader.message_count == len(list(reader.messages())) == len(read)


def test_cut_before_the_first_chunk(tmp_path: Path) -> None:
    whole, _, unfinished = write_chunks(tmp_path / "whole")
    folder = tmp_path / "cut"
    folder.mkdir()
    for cut in (0, 1, 8, 9, 20, 40, 200):
        (folder / "episode.mcap").write_bytes(whole[:cut])
        write_meta(folder, unfinished)
        assert list(read_messages(folder / "episode.mcap")) == []
        repair(folder)
        assert scan(folder / "episode.mcap").finished and not is_unfinished(folder)


def test_repair_is_idempotent_and_survives_its_own_death(tmp_path: Path) -> None:
    whole, sizes, unfinished = write_chunks(tmp_path / "e")
    path = tmp_path / "e" / "episode.mcap"
    for repaired_so_far in range(sizes[-2], sizes[-2] + 200, 7):
        path.write_bytes(whole[:sizes[-2]] + whole[sizes[-1]:][:repaired_so_far - sizes[-2]])
        write_meta(tmp_path / "e", unfinished)
        repair(tmp_path / "e")
        first = path.read_bytes()
        repair(tmp_path / "e")
        assert path.read_bytes() == first and len(list(read_messages(path))) == PER_CHUNK * (CHUNKS - 1)


@pytest.mark.parametrize("damage", [b"\0" * 300, b"\xff" * 300])
def test_a_power_cut_that_leaves_garbage_blocks(tmp_path: Path, damage: bytes) -> None:
    whole, sizes, unfinished = write_chunks(tmp_path / "e")
    path = tmp_path / "e" / "episode.mcap"
    path.write_bytes(whole[:sizes[-2] + 60] + damage)
    write_meta(tmp_path / "e", unfinished)
    repair(tmp_path / "e")
    assert len(list(read_messages(path))) == PER_CHUNK * (CHUNKS - 1)


def test_damage_far_from_the_end_is_not_cut_away(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with EpisodeWriter(tmp_path / "e", {}) as writer:
        unfinished = dict(writer.meta)
        for i in range(MAX_TAIL_BYTES // 2**20 + 6):
            writer.write_jpeg("/g1/camera/head/color/image_raw/compressed", rng.bytes(2**20), i)
    path = tmp_path / "e" / "episode.mcap"
    data = bytearray(path.read_bytes())
    data[3_000_000] ^= 1
    data = data[:-100]  # no footer
    path.write_bytes(data)
    write_meta(tmp_path / "e", unfinished)
    with pytest.raises(EpisodeError, match="repair cuts at most"):
        repair(tmp_path / "e")
    assert path.read_bytes() == data
    assert 1 <= len(list(read_messages(path))) <= 3


def test_an_episode_in_writing_is_left_alone(tmp_path: Path) -> None:
    code = ("import sys, time; from pathlib import Path; from policies.episode_file import EpisodeWriter\n"
            "w = EpisodeWriter(Path(sys.argv[1]), {}); print('open', flush=True); sys.stdin.read()")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "e")], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    with pytest.raises(EpisodeError, match="written by another process"):
        repair(tmp_path / "e")
    process.kill()
    process.wait()
    repair(tmp_path / "e")


def test_a_full_disk_costs_only_what_did_not_fit(tmp_path: Path) -> None:
    code = """
import os, resource, sys, time
from pathlib import Path
from policies.episode_file import EpisodeWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
writer = EpisodeWriter(Path(sys.argv[1]), {})
sent = 0
try:
    while True:
        writer.write_jpeg("/g1/camera/head/color/image_raw/compressed", os.urandom(5000), sent)
        sent += 1
        time.sleep(0.01)
except OSError as error:
    print(sent, error.errno)
    writer.abandon()
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "e")], capture_output=True, text=True, timeout=60)
    sent, errno = map(int, done.stdout.split())
    assert errno == 27, done.stderr  # EFBIG
    path = tmp_path / "e" / "episode.mcap"
    kept = len(list(read_messages(path)))
    assert sent - 25 <= kept <= sent  # 0.1 s between flushes, and the one that failed
    assert os.path.getsize(path) <= 300_000 and is_unfinished(tmp_path / "e")
    repair(tmp_path / "e")
    assert len(list(read_messages(path))) == kept == read_meta(tmp_path / "e")["messages"].popitem()[1]
