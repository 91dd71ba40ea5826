"""Episode files: exact round trips, other people's readers, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CameraInfo, CompressedImage, Imu, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from policies.episode_file import (
    EpisodeError,
    EpisodeWriter,
    has_header,
    read_episode,
    read_messages,
    read_meta,
    repair,
    write_meta,
)

CHANNELS = ("left_ee.x", "left_ee.y", "base.height")
CAMERA = "/g1/camera/{}/color/image_raw/compressed"


def real_messages() -> list[tuple[str, object]]:
    two = [1.0, 2.0]
    point = JointTrajectoryPoint(positions=two, velocities=two, accelerations=two, effort=two)
    status = DiagnosticStatus(level=DiagnosticStatus.WARN, name="ü", values=[KeyValue(key="a", value="b")])
    messages = [
        ("/g1/joint_states", JointState(name=["a", "b"], position=[1.0, 2.0], velocity=[0.1, 0.2], effort=[3.0, 4.0])),
        ("/g1/imu", Imu()), ("/g1/odometry", Odometry(child_frame_id="pelvis")),
        ("/g1/reference", JointTrajectory(joint_names=["a", "b"], points=[point])),
        (CAMERA.format("head"), CompressedImage(format="jpeg", data=bytes(range(256)))),
        ("/g1/camera/head/color/camera_info", CameraInfo(width=320, height=240)),
        ("/g1/authority", String(data="policy")), ("/g1/provenance", status),
        ("/g1/diagnostics", DiagnosticArray(status=[status])),
    ]
    return messages


def write_small(folder: Path, frames: int = 20) -> EpisodeWriter:
    """An episode with two cameras at 66 ms and vectors at 20 ms, from stamp 0; not closed."""
    writer = EpisodeWriter(folder, {"task": "g1_box", "seed": 3, "action_channels": list(CHANNELS)})
    for step in range(frames * 33):
        stamp_ns = step * 2_000_000
        if step % 10 == 0:
            writer.write_vector("/g1/measured_action", CHANNELS, np.full(3, step), stamp_ns)
            writer.write_vector("/g1/reference", CHANNELS, np.full(3, -step), stamp_ns)
        if step % 33 == 0:
            for name in ("head", "chest"):
                writer.write_jpeg(CAMERA.format(name), f"{name} {step}".encode(), stamp_ns)
    return writer


def test_every_byte_of_a_message_comes_back(tmp_path: Path) -> None:
    sent = []
    with EpisodeWriter(tmp_path / "e", {}) as writer:
        for i, (topic, message) in enumerate(real_messages()):
            msgtype = f"{type(message).__module__.split('.')[0]}/msg/{type(message).__name__}"
            cdr = bytes(serialize_message(message))
            writer.write_raw(topic, msgtype, cdr, stamp_ns=i, log_ns=100 + i, sequence=7 + i)
            sent.append((topic, msgtype, 100 + i, i, 7 + i, cdr))
    path = tmp_path / "e" / "episode.mcap"
    assert [tuple(m) for m in read_messages(path)] == sent
    with open(path, "rb") as file:
        read = [(c.topic, s.name, m.log_time, m.publish_time, m.sequence, m.data)
                for s, c, m in make_reader(file, validate_crcs=True).iter_messages()]
    assert read == sent
    with AnyReader([path]) as reader:
        assert reader.message_count == len(sent)
        for (_, message), (connection, log_ns, raw) in zip(real_messages(), reader.messages(), strict=True):
            theirs = reader.deserialize(raw, connection.msgtype)
            assert log_ns >= 100
            for name in message.get_fields_and_field_types():
                assert hasattr(theirs, name)


def test_offline_messages_are_what_ros_reads(tmp_path: Path) -> None:
    write_small(tmp_path / "e", 1).close("success", "expert")
    messages = list(read_messages(tmp_path / "e" / "episode.mcap"))
    action = deserialize_message(messages[0].data, JointTrajectory)
    assert action.joint_names == list(CHANNELS) and list(action.points[0].positions) == [0.0, 0.0, 0.0]
    image = deserialize_message(next(m.data for m in messages if "camera" in m.topic), CompressedImage)
    assert bytes(image.data) == b"head 0" and image.format == "jpeg"


def test_has_header_is_what_the_message_says() -> None:
    for _, message in real_messages():
        msgtype = f"{type(message).__module__.split('.')[0]}/msg/{type(message).__name__}"
        assert has_header(msgtype) == hasattr(message, "header")


def test_read_episode_pairs_frames_with_the_newest_state(tmp_path: Path) -> None:
    write_small(tmp_path / "e").close("success", "expert")
    episode = read_episode(tmp_path / "e")
    assert list(episode.images) == ["chest", "head"] and episode.channels == CHANNELS
    assert [len(images) for images in episode.images.values()] == [20, 20]
    np.testing.assert_array_equal(episode.frame_stamps_ns, np.arange(20) * 66_000_000)
    np.testing.assert_array_equal(episode.state[:, 0], episode.frame_stamps_ns // 20_000_000 * 10)
    assert episode.images["head"][3] == b"head 99"
    assert (episode.reference[:, 0] <= 0).all() and len(episode.reference) == len(episode.reference_stamps_ns) == 66
    assert episode.meta["outcome"] == "success" and episode.meta["messages"]["/g1/reference"] == 66


def test_an_episode_ends_once_and_is_never_overwritten(tmp_path: Path) -> None:
    writer = write_small(tmp_path / "e", 1)
    with pytest.raises(EpisodeError, match=r"'won' is unknown; allowed: success, failure, discarded, aborted"):
        writer.close("won", "operator")
    writer.close("failure", "operator")
    with pytest.raises(EpisodeError, match="has ended already"):
        writer.close("success", "operator")
    assert read_meta(tmp_path / "e")["outcome"] == "failure"
    with pytest.raises(EpisodeError, match="never overwritten"):
        EpisodeWriter(tmp_path / "e", {})


def test_an_exception_leaves_an_aborted_episode(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), write_small(tmp_path / "e"):
        raise KeyboardInterrupt
    episode = read_episode(tmp_path / "e")
    assert episode.meta["outcome"] == "aborted" and len(episode.state) == 20


def foreign(path: Path, profile: str, encoding: str, compression: CompressionType) -> None:
    with open(path, "wb") as file:
        writer = Writer(file, compression=compression)
        writer.start(profile)
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        channel = writer.register_channel("/t", encoding, schema)
        writer.add_message(channel, 0, b"x", 0)
        writer.finish()


@pytest.mark.parametrize(("profile", "encoding", "said"), [
    ("ros1", "cdr", "profile is 'ros1'; allowed: ros2"), ("ros2", "json", "encoded as 'json'; allowed: cdr")])
def test_foreign_mcap_is_refused(tmp_path: Path, profile: str, encoding: str, said: str) -> None:
    foreign(tmp_path / "x.mcap", profile, encoding, CompressionType.NONE)
    with pytest.raises(EpisodeError, match=said):
        list(read_messages(tmp_path / "x.mcap"))


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4])
def test_ros2_mcap_of_other_writers_is_read(tmp_path: Path, compression: CompressionType) -> None:
    foreign(tmp_path / "x.mcap", "ros2", "cdr", compression)
    assert [m.data for m in read_messages(tmp_path / "x.mcap")] == [b"x"]


def test_what_is_no_episode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="no episode.json"):
        read_episode(tmp_path)
    (tmp_path / "episode.json").write_text("{")
    with pytest.raises(EpisodeError, match="is not JSON"):
        read_episode(tmp_path)
    write_meta(tmp_path, {"format": 99})
    with pytest.raises(EpisodeError, match="format 99 is unknown; allowed: 1"):
        read_episode(tmp_path)
    write_meta(tmp_path, {"format": 1, "robot": "g1", "action_channels": [], "ended_ns": 1})
    with pytest.raises(EpisodeError, match="episode.mcap is missing"):
        read_episode(tmp_path)
    (tmp_path / "episode.mcap").write_bytes(b"\x80\x04pickle, not MCAP")
    with pytest.raises(EpisodeError, match="is not MCAP"):
        read_episode(tmp_path)
    with pytest.raises(EpisodeError, match="is not MCAP"):
        repair(tmp_path)
    assert (tmp_path / "episode.mcap").read_bytes() == b"\x80\x04pickle, not MCAP"


def test_other_channels_are_refused(tmp_path: Path) -> None:
    with write_small(tmp_path / "e") as writer:
        writer.write_vector("/g1/reference", ("x",), np.zeros(1), 10**12)
    with pytest.raises(EpisodeError, match="channels of reference change"):
        read_episode(tmp_path / "e")
    meta = json.loads((tmp_path / "e" / "episode.json").read_text())
    assert meta["outcome"] == "aborted"


def test_unknown_message_type_is_refused(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path / "e", {}) as writer, pytest.raises(EpisodeError, match="acme_msgs/msg/Thing"):
        writer.write_raw("/g1/thing", "acme_msgs/msg/Thing", b"", 0)
