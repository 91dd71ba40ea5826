"""What keeps the code apart: who may import what, where simulation may be named, how long a file may be."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NODES = ROOT / "robot_ws/src/retake/retake"
PYPROJECT = (ROOT / "pyproject.toml").read_text()
LINES_MAX = 250
FORBIDDEN = {  # folder: top-level modules that its files must not import
    "controllers": {"rclpy", "torch", "mujoco", "policies", "sim", "retake"},
    "policies": {"rclpy", "controllers", "mujoco", "sim", "retake"},
    "robot_ws": {"mujoco"},
}
HARDWARE_SDKS = {"unitree_sdk2py", "cyclonedds", "pyrealsense2", "i2rt", "can", "serial",
                 "pyspacemouse", "easyhid"}
SPEAKS_FOR_DRIVERS = {
    "unitree/dds", "unitree/idl",  # the G1's wire, for its driver and for the other end
    "cameras/realsense", "cameras/realsense_device",  # a camera's driver
    "arms/dm_bus", "sim/dm_emulator",  # the arms' CAN bus, for their driver and for the other end
}  # fmt: skip
CODE_IN_DATA = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
# the graph and its arguments name what stands in for hardware; the command line names the modules that belong to it
MAY_SAY_SIM = {NODES / "graph.py", NODES / "arguments.py", NODES / "cli.py"}
ROS_MESSAGES = {"std_msgs", "sensor_msgs", "geometry_msgs", "trajectory_msgs", "nav_msgs", "diagnostic_msgs",
                "std_srvs"}


def tracked(*endings: str) -> list[Path]:
    """Files of the repository, without links."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.suffix in endings and path.is_file() and not path.is_symlink()]


PYTHON = tracked(".py")
SOURCES = [path for path in PYTHON if path.relative_to(ROOT).parts[0] in ("controllers", "policies", "sim", "robot_ws")
           and path.name != "setup.py"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> set[str]:
    """Top-level names of everything the file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_there_is_something_to_check():
    assert len(SOURCES) > 30


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports(path):
    folder = path.relative_to(ROOT).parts[0]
    found = imports(path)
    assert not found & FORBIDDEN.get(folder, set())
    assert not found & CODE_IN_DATA
    is_driver = path.stem == "driver" or path.stem.endswith("_driver")
    may_drive = is_driver or f"{path.parent.name}/{path.stem}" in SPEAKS_FOR_DRIVERS
    assert may_drive or not found & HARDWARE_SDKS, "only drivers talk to hardware SDKs"
    if folder in ("controllers", "policies"):
        assert not found & ROS_MESSAGES
    if folder == "robot_ws" and path not in MAY_SAY_SIM:
        assert "sim" not in found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_size(path):
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "sim"], ids=name_of)
def test_simulation_is_a_process_and_not_a_flag(path):
    said = re.findall(r"\bsim\b|\bis_sim\w*|\bin_sim\w*", path.read_text(), re.IGNORECASE)
    assert not said or path in MAY_SAY_SIM


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_imports(path):
    root = NODES.parent if NODES in path.parents else ROOT
    importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))


def test_every_package_is_installed():
    listed = set(re.findall(r'"([a-z0-9_.]+)"', re.search(r"^packages = \[.*?\]", PYPROJECT, re.M | re.S)[0]))
    folders = [path.parent for path in SOURCES if path.name == "__init__.py"]
    roots = [NODES.parent if folder == NODES or NODES in folder.parents else ROOT for folder in folders]
    assert {".".join(f.relative_to(r).parts) for f, r in zip(folders, roots, strict=True)} == listed


def test_launch_is_no_package():
    assert not (ROOT / "launch/__init__.py").exists(), "it would shadow ROS's own launch package"


@pytest.mark.parametrize("path", sorted((ROOT / "launch").glob("*.launch.py")), ids=name_of)
def test_launch_files_name_no_node(path):
    from retake.graph import MODULES

    text = path.read_text()
    assert len(text.splitlines()) <= 80
    assert not [name for name in MODULES if name in text]


def test_checkpoints_and_data_hold_no_code():
    assert not tracked(".pkl", ".pt", ".pth", ".npy", ".joblib")


def test_package_xml_names_every_ros_package_in_use():
    text = (NODES.parent / "package.xml").read_text()
    used = set().union(*(imports(path) for path in SOURCES))
    named = set(re.findall(r"<exec_depend>(\w+)</exec_depend>", text))
    assert {name for name in used if name.endswith(("_msgs", "_srvs", "_interfaces")) or name == "rclpy"} <= named
