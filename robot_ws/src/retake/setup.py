"""For `colcon build` (ament_python): nodes, cores, worlds and the launch file in one install space.

controllers, policies, sim and launch are links to the top of the repository: colcon's --symlink-install would otherwise
delete what lies outside this folder. pip uses the pyproject.toml at the top instead.
"""

import sys
from pathlib import Path

from setuptools import find_packages, setup

sys.path.insert(0, str(Path(__file__).resolve().parent))

from retake.graph import MODULES  # the one list of nodes

setup(
    name="retake",
    version="0.1.0",
    packages=find_packages(),
    package_data={"policies": ["checkpoints/*/*"], "retake.teleop": ["*.html"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/retake"]),
        ("share/retake", ["package.xml"]),
        ("share/retake/launch", ["launch/g1.launch.py", "launch/arm.launch.py"]),
    ],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={
        "console_scripts": ["retake = retake.cli:main", *(f"{name} = {MODULES[name]}:main" for name in MODULES)]
    },
)
