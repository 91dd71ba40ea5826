"""An OpenGL context without a screen: EGL, or OSMesa where EGL cannot start.

EGL is tried through its C interface before MuJoCo's binding loads it, because PyOpenGL, once bound to EGL, cannot turn
to OSMesa in the same process.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import warnings
from typing import Protocol

REMEDY = "install it with: sudo apt-get install libegl1 libgl1-mesa-dri libosmesa6"
BACKENDS = ("egl", "osmesa")
_EGL_PLATFORM_DEVICE_EXT = 0x313F
_MAX_DEVICES = 16


class NoOpenGLError(RuntimeError):
    """No way to render without a screen; the text says what to install."""


class GLContext(Protocol):
    """What MuJoCo's contexts of every kind offer."""

    def make_current(self) -> None: ...
    def free(self) -> None: ...


def offscreen_context(width: int, height: int) -> GLContext:
    """A context of `width` x `height` pixels; the caller makes it current in the thread that renders."""
    # One rasteriser thread: at 320x240 Mesa's default, one per core, costs more in waking them than it gains. Mesa
    # reads this when its driver is loaded, thus before EGL is tried.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    if choose_backend() == "egl":
        from mujoco.egl import GLContext as Context
    else:
        from mujoco.osmesa import GLContext as Context
    try:
        return Context(width, height)
    except (ImportError, RuntimeError) as error:
        raise NoOpenGLError(f"OpenGL does not start ({error}); {REMEDY}") from error


def choose_backend() -> str:
    """`egl` or `osmesa`: what $MUJOCO_GL says, else EGL if it starts, else OSMesa with a warning."""
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked in BACKENDS:
        return asked
    if asked:
        raise NoOpenGLError(f"MUJOCO_GL={asked} needs a screen; allowed: {', '.join(BACKENDS)}, or unset")
    if _egl_starts():
        return "egl"
    if ctypes.util.find_library("OSMesa"):
        warnings.warn(f"EGL does not start, cameras render with OSMesa; for EGL {REMEDY}", RuntimeWarning, stacklevel=2)
        return "osmesa"
    raise NoOpenGLError(f"neither EGL nor OSMesa is here, cameras cannot render; {REMEDY}")


def _egl_starts() -> bool:
    """True when some EGL device, hardware or Mesa's software one, gives a display."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    query_address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    display_address = egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
    if not query_address or not display_address:
        return False
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(query_address)
    display_of = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)(display_address)
    egl.eglInitialize.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    devices, count = (ctypes.c_void_p * _MAX_DEVICES)(), ctypes.c_int(0)
    if not query(_MAX_DEVICES, devices, ctypes.byref(count)):
        return False
    for device in devices[: count.value]:
        display = display_of(_EGL_PLATFORM_DEVICE_EXT, device, None)
        if display and egl.eglInitialize(display, None, None):
            return True
    return False
