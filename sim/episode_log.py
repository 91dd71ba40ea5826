"""Writes what happens in one process as the recorder writes the graph: same topics, types and stamps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from controllers.authority_states import Provenance
from controllers.rigs import Rig
from policies.episode_file import EpisodeWriter, typestore
from retake.cameras.codec import optical_frame, to_jpeg
from sim.cameras import CameraRig

EXPERT_ACTION = "expert_action"  # what the demonstrator wanted; `reference` is what was executed


class EpisodeLog:
    """One episode's folder. Stamps are in ns of the simulated clock."""

    def __init__(self, folder: Path, meta: dict, cameras: CameraRig, rig: Rig) -> None:
        self._channels, self._joints = rig.layout.channels, list(rig.joint_names)
        self.writer = EpisodeWriter(folder, {"robot": rig.name, "action_channels": list(self._channels), **meta})
        self._rig, self._namespace = cameras, f"/{rig.name}"
        self._types = typestore().types

    def joints(self, sensors: Any, stamp_ns: int) -> None:
        """What the encoders and motors report."""
        message = self._types["sensor_msgs/msg/JointState"](
            self._header(stamp_ns, ""), self._joints, sensors.q, sensors.dq, sensors.tau_est
        )
        self.writer.write(f"{self._namespace}/joint_states", "sensor_msgs/msg/JointState", message)

    def vector(self, name: str, action: np.ndarray, stamp_ns: int) -> None:
        """`measured_action`, `reference`, `policy_action` or `expert_action`, (dim,)."""
        self.writer.write_vector(f"{self._namespace}/{name}", self._channels, action, stamp_ns)

    def change(self, name: str, value: str, stamp_ns: int) -> None:
        """`authority` or `segment`, where it differs from before; into episode.json too."""
        timeline = self.writer.meta[{"authority": "authority", "segment": "segments"}[name]]
        if timeline and timeline[-1][1] == value:
            return
        timeline.append([stamp_ns, value])
        message = self._types["std_msgs/msg/String"](value)
        self.writer.write(f"{self._namespace}/{name}", "std_msgs/msg/String", message, stamp_ns)

    def provenance(self, provenance: Provenance) -> None:
        """Where the reference of a tick comes from."""
        pairs = [self._types["diagnostic_msgs/msg/KeyValue"](*pair) for pair in provenance.pairs().items()]
        status = self._types["diagnostic_msgs/msg/DiagnosticStatus"](0, "reference", provenance.reason, "", pairs)
        topic = f"{self._namespace}/provenance"
        self.writer.write(topic, "diagnostic_msgs/msg/DiagnosticStatus", status, provenance.stamp_ns)

    def pictures(self, render_state: np.ndarray, stamp_ns: int) -> None:
        """Draws and writes one frame of each camera with its calibration."""
        for name, picture in self._rig.draw(render_state).items():
            topic = f"{self._namespace}/camera/{name}/color"
            self.writer.write_jpeg(f"{topic}/image_raw/compressed", to_jpeg(picture), stamp_ns, optical_frame(name))
            self.writer.write(f"{topic}/camera_info", "sensor_msgs/msg/CameraInfo", self._camera_info(name, stamp_ns))

    def ground_truth(self, truth: dict, stamp_ns: int) -> None:
        """For whoever analyses the episode; training never reads it."""
        message = self._types["std_msgs/msg/String"](json.dumps(truth))
        self.writer.write(f"{self._namespace}/ground_truth/task", "std_msgs/msg/String", message, stamp_ns)

    def _camera_info(self, name: str, stamp_ns: int) -> Any:
        fx, fy, cx, cy = self._rig.intrinsics(name)
        region = self._types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        return self._types["sensor_msgs/msg/CameraInfo"](
            header=self._header(stamp_ns, optical_frame(name)), height=self._rig.height, width=self._rig.width,
            distortion_model="plumb_bob", d=np.zeros(5), k=np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1.0]),
            r=np.eye(3).ravel(), p=np.array([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1.0, 0]),
            binning_x=0, binning_y=0, roi=region,
        )  # fmt: skip

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        return self._types["std_msgs/msg/Header"](self._types["builtin_interfaces/msg/Time"](sec, nanosec), frame_id)
