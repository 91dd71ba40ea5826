"""A killed export leaves whole episodes only, and the next one goes on from there.

Every step that changes the disk is a point where the process may die: it really dies there, by os._exit.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_episodes import command, write_episode

from policies import lerobot_export, lerobot_files
from policies.finding import Finding
from policies.lerobot_check import check_dataset
from policies.lerobot_files import read_episode_rows, read_info
from retake.episodes import dataset_export, validate
from retake.errors import UserError

DIED = 77


def died_at(step: int, act: Callable[[], object]) -> bool:
    """Run `act` in a process that dies before its `step`-th change of the disk; False if it came to its end."""
    child = os.fork()
    if child == 0:
        left = [step]

        def dying(change: Callable) -> Callable:
            def changed(*args: object, **kwargs: object) -> object:
                if left[0] == 0:
                    os._exit(DIED)
                left[0] -= 1
                return change(*args, **kwargs)
            return changed

        changes = (lerobot_files, "move"), (lerobot_files.pq, "write_table"), (lerobot_export, "write_video")
        for module, name in changes:
            setattr(module, name, dying(getattr(module, name)))
        os.replace = dying(os.replace)
        act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == DIED


def faults(root: Path) -> list[Finding]:
    return [finding for finding in check_dataset(root) if finding.is_fault]


def lerobot_sees(root: Path) -> tuple[int, int]:
    """Episodes and frames as LeRobot counts them, after opening every file that it would open."""
    info = read_info(root)
    rows = read_episode_rows(root)[: info["total_episodes"]]
    tables = [pq.read_table(path) for path in sorted(root.glob("data/*/*.parquet"))]
    assert sum(map(len, tables)) >= info["total_frames"] == sum(row["length"] for row in rows)
    return info["total_episodes"], info["total_frames"]


def test_death_at_every_change_of_the_disk(tmp_path: Path) -> None:
    root, before = tmp_path / "episodes", tmp_path / "before"
    write_episode(root / "20260101-000000-0", 0, 6)
    command(dataset_export, root, before)
    write_episode(root / "20260102-000000-7", 7, 9)
    seen = []
    for step in range(200):
        out = tmp_path / f"out{step}"
        shutil.copytree(before, out)
        is_dead = died_at(step, lambda out=out: command(dataset_export, root, out))
        assert not faults(out)
        seen.append(lerobot_sees(out))
        assert command(dataset_export, root, out) == 0
        assert lerobot_sees(out) == (2, 6 + 9) and not check_dataset(out)
        shutil.rmtree(out)
        if not is_dead:
            break
    assert len(seen) > 20, "there are that many steps"
    assert list(dict.fromkeys(seen)) == [(1, 6), (2, 15)]


def test_death_while_a_dataset_begins(tmp_path: Path) -> None:
    root = tmp_path / "episodes"
    write_episode(root / "20260101-000000-0", 0, 6)
    for step in range(100):
        out = tmp_path / f"out{step}"
        is_dead = died_at(step, lambda out=out: command(dataset_export, root, out))
        if (out / "meta/info.json").exists():
            assert lerobot_sees(out) in ((0, 0), (1, 6)) and not faults(out)
        assert command(dataset_export, root, out) == 0
        assert lerobot_sees(out) == (1, 6) and not check_dataset(out)
        if not is_dead:
            return
    raise AssertionError("it never came to its end")


def test_a_full_disk_leaves_whole_episodes(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    command(dataset_export, sorted(root.iterdir())[0], out)
    write_episode(root / "20260102-000000-7", 7, 600)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in out.rglob("*") if path.is_file())
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * largest, limits[1]))  # fails as a full disk does, in mid-file
    try:
        with pytest.raises(UserError, match="the dataset is whole without 20260102-000000-7; make room at"):
            command(dataset_export, root, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert lerobot_sees(out)[0] == 4 and not check_dataset(out) and not (out / ".part").exists()
    assert command(dataset_export, root, out) == 0
    assert lerobot_sees(out)[0] == 5 and not check_dataset(out)


@pytest.mark.parametrize("name", ["data/chunk-000/file-001.parquet",
                                  "videos/observation.images.head/chunk-000/file-001.mp4"])
def test_a_torn_file_is_named_and_made_anew(root: Path, tmp_path: Path, name: str,
                                            capsys: pytest.CaptureFixture) -> None:  # fmt: skip
    out = tmp_path / "out"
    command(dataset_export, root, out)
    whole = (out / name).read_bytes()
    for size in (0, len(whole) // 3, len(whole) - 3):
        (out / name).write_bytes(whole[:size])
        capsys.readouterr()
        assert command(validate, out) == 1
        said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAULT")]
        assert said and name in said[0] and "torn" in said[0] and "delete it and run `retake export` again" in said[0]
        (out / name).unlink()
        assert command(validate, out) == 1
        assert command(dataset_export, root, out) == 0
        assert "1 restored" in capsys.readouterr().out
        assert command(validate, out) == 0
        whole = (out / name).read_bytes()
