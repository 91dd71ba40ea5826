"""The cameras show the world where it is: pinhole model, render state, and the refusals."""

import mujoco
import numpy as np
import pytest

from retake.cameras.codec import to_jpeg
from sim import gl
from sim.cameras import CAMERAS, SPECTATOR, CameraRig
from sim.g1_box import G1BoxTask
from sim.g1_world import G1World
from sim.render_state import RenderStateCodec, RenderStateError

MAGENTA = (1.0, 0.0, 1.0, 1.0)  # nothing else in the scene has it


@pytest.fixture(scope="module")
def world():
    return G1World()


@pytest.fixture(scope="module")
def rig():
    rig = CameraRig()
    yield rig
    rig.close()


def place_box(world, position, half_size=0.03):
    """A small magenta box at `position` (3,) m, whatever holds it up."""
    G1BoxTask(world).randomise(0)
    start = world.model.joint("box").qposadr[0]
    world.data.qpos[start : start + 3] = position
    world.model.body("shelf").pos = (4.0, 0.0, 0.9)  # out of the way
    box = world.model.geom("box").id
    world.model.geom_size[box], world.model.geom_rgba[box] = half_size, MAGENTA
    mujoco.mj_forward(world.model, world.data)


@pytest.mark.parametrize(("name", "position"), [("head", (0.45, 0.08, 0.95)), ("head", (0.42, -0.15, 0.90)),
                                                ("chest", (0.60, -0.12, 1.10)), ("chest", (0.45, 0.05, 0.95))])
def test_a_point_is_where_the_intrinsics_say(world, rig, name, position):
    place_box(world, position)
    picture = rig.draw(world.render_state())[name].astype(int)
    rows, columns = np.nonzero((picture[..., 0] - picture[..., 1] > 40) & (picture[..., 2] - picture[..., 1] > 40))
    assert len(rows) > 50
    camera = rig.model.camera(name).id
    rotation, eye = rig._data.cam_xmat[camera].reshape(3, 3), rig._data.cam_xpos[camera]
    x, y, z = (np.array(position) - eye) @ rotation * (1, -1, -1)  # optical frame: x right, y down, z ahead
    fx, fy, cx, cy = rig.intrinsics(name)
    middle = 0.5 * (columns.min() + columns.max()), 0.5 * (rows.min() + rows.max())
    assert middle == pytest.approx((cx + fx * x / z, cy + fy * y / z), abs=4)


def test_pictures_are_the_same_from_another_rig(world, rig):
    G1BoxTask(world).randomise(3)
    state = world.render_state()
    pictures = rig.draw(state)
    assert set(pictures) == set(CAMERAS)
    other = CameraRig()
    for name, picture in other.draw(state).items():
        assert picture.shape == (240, 320, 3) and picture.dtype == np.uint8 and picture.std() > 10
        np.testing.assert_array_equal(picture, pictures[name])
    other.close()
    rig.draw(state, (SPECTATOR,))  # the first rig's context still works


def test_scenes_look_different(world, rig):
    pictures = []
    for seed in (1, 2):
        G1BoxTask(world).randomise(seed)
        pictures.append(rig.draw(world.render_state()))
    for name in CAMERAS:
        assert np.abs(pictures[0][name].astype(int) - pictures[1][name]).mean() > 1.0


def test_render_state_round_trip(world):
    G1BoxTask(world).randomise(7)
    other = G1World()
    codec = RenderStateCodec(other.model)
    codec.unpack_into(world.render_state(), other.data)
    np.testing.assert_array_equal(other.render_state(), world.render_state())
    np.testing.assert_allclose(other.data.xpos, world.data.xpos, atol=1e-12)
    np.testing.assert_array_equal(other.model.geom_size[other.model.geom("box").id],
                                  world.model.geom_size[world.model.geom("box").id])


def test_a_foreign_or_broken_render_state_is_refused(world, rig):
    state = world.render_state()
    with pytest.raises(RenderStateError, match="needs"):
        rig.draw(state[:-1])
    state[0] = np.nan
    with pytest.raises(RenderStateError, match="not finite"):
        rig.draw(state)


def test_unknown_camera_names_the_known_ones(world, rig):
    with pytest.raises(ValueError, match="head, chest"):
        rig.draw(world.render_state(), ("wrist",))
    with pytest.raises(ValueError, match="head, chest"):
        rig.intrinsics("wrist")


def test_jpeg_starts_as_one():
    assert to_jpeg(np.zeros((24, 32, 3), np.uint8))[:3] == b"\xff\xd8\xff"


def test_without_opengl_the_remedy_is_named(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(gl, "_egl_starts", lambda: False)
    monkeypatch.setattr(gl.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(gl.NoOpenGLError, match="apt-get install"):
        gl.choose_backend()
    monkeypatch.setattr(gl.ctypes.util, "find_library", lambda name: "libOSMesa.so.8")
    with pytest.warns(RuntimeWarning, match="OSMesa"):
        assert gl.choose_backend() == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(gl.NoOpenGLError, match="allowed: egl, osmesa"):
        gl.choose_backend()
