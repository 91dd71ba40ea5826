"""Camera nodes in this process, real messages, as in tests/nodes."""

from importlib.util import find_spec

from tests.nodes.conftest import probe

__all__ = ["probe"]
collect_ignore = []  # filled where librealsense is missing: its wheels are for x86 only
if not find_spec("pyrealsense2"):
    collect_ignore += ["test_camera_realsense.py", "test_camera_contract.py"]
