"""Camera nodes in this process, real messages, as in tests/nodes."""

from importlib.util import find_spec

from tests.nodes.conftest import probe

__all__ = ["probe"]
collect_ignore = [] if find_spec("pyrealsense2") else ["test_camera_realsense.py"]  # its wheels are for x86 only
