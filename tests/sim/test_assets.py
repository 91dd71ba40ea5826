"""The G1's decimated meshes: made once, by whoever is first, and changing nothing but what the eye sees."""

import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from controllers.cache import cache_root
from controllers.model import g1_mjcf
from sim import assets

FULL_FACES = 393_270


def test_two_processes_at_once_make_one_cache(tmp_path):
    script = "from sim.assets import g1_visuals; print(g1_visuals().folder)"
    environment = os.environ | {"RETAKE_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
                 for _ in range(2)]
    folders = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert folders == {str(path) for path in tmp_path.glob("g1-*")}  # one folder, no leftovers
    (folder,) = tmp_path.glob("g1-*")
    assert len(list(folder.glob("*.STL"))) == 35


def test_decimation_keeps_bodies_and_collision_geoms():
    original, ours = mujoco.MjSpec.from_file(str(g1_mjcf())).compile(), assets.g1_spec().compile()
    assert original.nmeshface == FULL_FACES
    assert 8_000 < ours.nmeshface < 15_000
    np.testing.assert_array_equal(ours.body_mass, original.body_mass)
    np.testing.assert_array_equal(ours.body_inertia, original.body_inertia)
    solid = original.geom_contype != 0
    np.testing.assert_array_equal(ours.geom_size[solid], original.geom_size[solid])
    np.testing.assert_array_equal(ours.geom_pos[solid], original.geom_pos[solid])


def test_visual_geoms_are_those_of_the_mjcf():
    visuals = assets.g1_visuals()
    spec = mujoco.MjSpec.from_file(str(g1_mjcf()))
    expected = [(geom.parent.name, tuple(geom.pos)) for geom in spec.geoms if geom.meshname]
    assert sorted((geom.body, geom.position) for geom in visuals.geoms) == sorted(expected)
    for geom in visuals.geoms:
        assert (visuals.folder / geom.mesh_file).is_file()
        assert np.linalg.norm(geom.quat_xyzw) == pytest.approx(1.0, abs=1e-6)
    hand = next(geom for geom in visuals.geoms if geom.mesh_file == "left_rubber_hand.STL")
    assert hand.body == "left_wrist_yaw_link"
    assert hand.rgba == (0.2, 0.2, 0.2, 1.0)


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RETAKE_CACHE", str(tmp_path / "file"))
    with pytest.raises(assets.AssetError, match="set RETAKE_CACHE"):
        assets.g1_visuals()


def test_cache_follows_the_environment(monkeypatch):
    monkeypatch.delenv("RETAKE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(cache_root()) == "/somewhere/retake"
    monkeypatch.setenv("RETAKE_CACHE", "/elsewhere")
    assert str(cache_root()) == "/elsewhere"
