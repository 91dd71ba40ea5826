"""The graph of an arm rig for `ros2 launch retake arm.launch.py robot:=sim rig:=yam task:=arm_pick`.

The same as launch/g1.launch.py, with another robot by default. Arguments: `--show-args`.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from controllers.rigs import RIGS
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """The rig, then what every robot's launch file does."""
    rigs = [rig.name for rig in RIGS.values() if rig.arms]
    return LaunchDescription([
        DeclareLaunchArgument("rig", default_value=rigs[0], choices=rigs, description="which arms"),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(Path(__file__).with_name("g1.launch.py"))),
            launch_arguments={"rig": LaunchConfiguration("rig")}.items(),
        ),
    ])
