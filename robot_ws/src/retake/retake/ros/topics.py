"""The topics of a robot that a recording holds, relative to its namespace, with their types."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Imu, JointState
from std_msgs.msg import Bool, Float64, String
from trajectory_msgs.msg import JointTrajectory

TOPICS: dict[str, type] = {
    "joint_states": JointState, "imu": Imu, "joint_command": JointState, "applied_joint_command": JointState,
    "odometry": Odometry, "measured_action": JointTrajectory, "reference": JointTrajectory,
    "action_chunk": JointTrajectory, "teleop_action": JointTrajectory, "rewind_action": JointTrajectory,
    "policy_action": JointTrajectory, "training_distance": Float64, "authority": String, "segment": String,
    "provenance": DiagnosticStatus, "ground_truth/task": String, "diagnostics": DiagnosticArray,
    "residual_action": JointTrajectory, "residual": String, "residual/enabled": Bool,
}
LATCHED = ("authority", "segment", "residual", "residual/enabled")
SEVERAL_WRITERS = ("diagnostics", "teleop_action", "rewind_action")  # one for each device


def recorded_topics(cameras: Sequence[str]) -> dict[str, type]:
    """TOPICS and those of the cameras, named as realsense2_camera has them."""
    topics = dict(TOPICS)
    for camera in cameras:
        for view, transport in (("color", "compressed"), ("aligned_depth_to_color", "compressedDepth")):
            topics[f"camera/{camera}/{view}/image_raw/{transport}"] = CompressedImage
            topics[f"camera/{camera}/{view}/camera_info"] = CameraInfo
    return topics
