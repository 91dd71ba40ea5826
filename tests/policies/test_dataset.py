"""Recordings to samples: decoded once, ordered by the seed alone, split by episode, refused by name."""

import shutil

import numpy as np
import pytest
from conftest import write_episode

import policies.frame_cache
from policies.dataset import DatasetError, find_episodes, load_samples, split_episodes
from policies.frames import shifted, shrink
from policies.sources import Recording

CAMERAS = ("chest", "head")


def test_only_successes_unless_asked(recordings):
    assert len(find_episodes(recordings)) == 4
    assert len(find_episodes(recordings, ("success", "failure"))) == 5
    with pytest.raises(DatasetError, match="none with outcome aborted"):
        find_episodes(recordings, ("aborted",))
    with pytest.raises(DatasetError, match="no folder"):
        find_episodes(recordings / "nothing")


def test_samples_hold_what_was_recorded(recordings):
    samples = load_samples(find_episodes(recordings), recordings / ".cache", CAMERAS, 64, 48)
    assert len(samples.where) == 48 and samples.chunks.shape == (48, 24, 17)
    assert samples.images(np.array([0, 47])).shape == (2, 2, 48, 64, 3)
    # the toy's expert starts at rest at home and moves away
    assert (
        np.abs(samples.chunks[0, 0] - samples.states[0]).max()
        < 0.02
        < np.abs(samples.chunks[0, -1] - samples.states[0]).max()
    )


def test_what_the_demonstrator_wanted_is_learnt_not_what_was_disturbed(tmp_path):
    for name, disturbance in (("clean", 0.0), ("disturbed", 0.03)):
        write_episode(tmp_path / name, 0, 4, disturbance=disturbance)
    clean, disturbed = (
        load_samples([Recording(tmp_path / name)], tmp_path, CAMERAS, 64, 48) for name in ("clean", "disturbed")
    )
    np.testing.assert_allclose(disturbed.chunks, clean.chunks)


def test_frames_are_decoded_once(recordings, tmp_path, monkeypatch):
    decoded = []

    def counted(picture, width, height):
        decoded.append(1)
        return shrink(picture, width, height)

    monkeypatch.setattr(policies.frame_cache, "shrink", counted)
    episodes = find_episodes(recordings)[:2]
    first = load_samples(episodes, tmp_path, CAMERAS, 64, 48)
    assert len(decoded) == 2 * 12 * 2
    shutil.copytree(episodes[0].folder, tmp_path / "moved")  # the content is the key, not the path
    second = load_samples([Recording(tmp_path / "moved"), episodes[1]], tmp_path, CAMERAS, 64, 48)
    assert len(decoded) == 2 * 12 * 2
    np.testing.assert_array_equal(first.images(np.arange(24)), second.images(np.arange(24)))
    load_samples(episodes[:1], tmp_path, CAMERAS, 32, 24)  # another size is another entry
    assert len(decoded) == 3 * 12 * 2


def test_split_keeps_episodes_whole(recordings):
    episodes = find_episodes(recordings)
    train, held_out = split_episodes(episodes, 0.25, seed=0)
    assert len(held_out) == 1 and sorted(train + held_out, key=lambda e: e.name) == episodes
    assert split_episodes(episodes, 0.25, seed=0) == (train, held_out)
    assert split_episodes(episodes[:1], 0.5, seed=0) == (episodes[:1], [])


def test_shift_moves_the_window():
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    moved = shifted(picture, dx=2, dy=-1)
    np.testing.assert_array_equal(moved[1, 0], picture[0, 2])
    np.testing.assert_array_equal(moved[0, 4], picture[0, 4])


def test_missing_camera_and_bad_numbers_are_refused(recordings, tmp_path):
    episode = find_episodes(recordings)[0]
    with pytest.raises(ValueError, match="camera wrist was not recorded; there are: chest, head"):
        load_samples([episode], tmp_path, ("wrist",), 64, 48)
    write_episode(tmp_path / "20260101-000000-0", 0, 3)
    with pytest.raises(ValueError, match="same aspect ratio"):
        load_samples([Recording(tmp_path / "20260101-000000-0")], tmp_path, CAMERAS, 64, 64)
