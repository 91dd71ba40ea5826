"""The border: every message round-trips, and what does not fit is refused with the reason."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Imu, JointState

from controllers import g1
from controllers.rigs import G1
from retake.ros import conversions
from retake.ros.wire import DAMP, ImuCodec, JointStateCodec

STAMP = 12_345_678_901
RNG = np.random.default_rng(3)
NUMBERS = RNG.normal(size=(3, 29))


def state(names=g1.JOINT_NAMES, values=NUMBERS) -> JointState:
    message = JointState(name=list(names), position=values[0], velocity=values[1], effort=values[2])
    message.header.stamp = conversions.time_message(STAMP)
    return message


def test_stamps() -> None:
    for stamp in (0, 1, 999_999_999, 1_000_000_000, STAMP):
        assert conversions.stamp_ns(conversions.time_message(stamp)) == stamp


def test_action_and_chunk_round_trip() -> None:
    actions = RNG.normal(size=(4, 17))
    message = conversions.action_message(actions[0], STAMP, G1)
    np.testing.assert_array_equal(conversions.action_from(message, G1), actions[0])
    offsets = np.array([66, 132, 198, 1584]) * 1_000_000
    chunk = conversions.chunk_message(offsets, actions, STAMP, G1)
    again = deserialize_message(serialize_message(chunk), type(message))
    times, values = conversions.chunk_from(again, G1)
    np.testing.assert_array_equal(times, offsets)
    np.testing.assert_array_equal(values, actions)
    assert conversions.stamp_ns(again.header.stamp) == STAMP


def test_actions_are_mapped_by_name_and_refused_otherwise() -> None:
    message = conversions.action_message(np.arange(17.0), STAMP, G1)
    message.joint_names = list(reversed(g1.ACTION_CHANNELS))
    np.testing.assert_array_equal(conversions.action_from(message, G1), np.arange(17.0)[::-1])
    message.joint_names = [*g1.ACTION_CHANNELS[:-1], "left_gripper"]
    with pytest.raises(ValueError, match="missing: hands.squeeze; extra or repeated: left_gripper"):
        conversions.action_from(message, G1)
    message.joint_names = [*g1.ACTION_CHANNELS[:-1], g1.ACTION_CHANNELS[0]]
    with pytest.raises(ValueError, match="missing: hands.squeeze"):
        conversions.action_from(message, G1)
    message.joint_names = list(g1.ACTION_CHANNELS[:-1])
    with pytest.raises(ValueError, match="16 names but 17 values"):
        conversions.action_from(message, G1)
    with pytest.raises(ValueError, match=r"not finite: left_ee.y"):
        conversions.action_from(conversions.action_message(np.where(np.arange(17) == 1, np.nan, 0.5), STAMP, G1), G1)
    message.points = []
    with pytest.raises(ValueError, match="exactly one"):
        conversions.action_from(message, G1)


def test_our_joint_state_bytes_are_what_rclpy_reads() -> None:
    codec = JointStateCodec(g1.JOINT_NAMES)
    data = codec.encode(STAMP, *NUMBERS)
    assert len(data) == len(serialize_message(state()))  # the bytes of rclpy's padding are not defined
    assert deserialize_message(data, JointState) == state()
    assert data == JointStateCodec(g1.JOINT_NAMES).encode(STAMP, *NUMBERS)
    stamp, *arrays, frame = codec.decode(data)
    assert (stamp, frame) == (STAMP, "")
    np.testing.assert_array_equal(arrays, NUMBERS)
    damp = JointStateCodec(g1.JOINT_NAMES, DAMP).encode(STAMP, *NUMBERS)
    assert codec.decode(damp)[4] == DAMP


def test_a_foreign_layout_is_decoded_by_name() -> None:
    codec = JointStateCodec(g1.JOINT_NAMES)
    order = RNG.permutation(29)
    foreign = state([g1.JOINT_NAMES[i] for i in order], NUMBERS[:, order])
    foreign.header.frame_id = "pelvis"
    stamp, *arrays, frame = codec.decode(bytes(serialize_message(foreign)))
    assert (stamp, frame) == (STAMP, "pelvis")
    np.testing.assert_array_equal(arrays, NUMBERS)


def test_joint_states_that_do_not_fit_are_refused() -> None:
    codec = JointStateCodec(g1.JOINT_NAMES)
    with pytest.raises(ValueError, match="missing: right_wrist_yaw_joint"):
        codec.decode(bytes(serialize_message(state(g1.JOINT_NAMES[:-1], NUMBERS[:, :-1]))))
    bad = NUMBERS.copy()
    for k in range(3):
        bad[k, 7] = (np.nan, np.inf, -np.inf)[k]
        with pytest.raises(ValueError, match="not finite: right_hip_roll_joint"):
            codec.decode(codec.encode(STAMP, *bad))
    uneven = state()  # as many bytes as ours, one number too few here and one too many there
    uneven.velocity, uneven.effort = array("d", [0.0] * 28), array("d", [0.0] * 30)
    with pytest.raises(ValueError, match="29 names but 28 values"):
        codec.decode(bytes(serialize_message(uneven)))
    with pytest.raises(ValueError, match="broadcast"):
        codec.encode(STAMP, NUMBERS[0, :28], NUMBERS[1], NUMBERS[2])


def test_our_imu_bytes_are_what_rclpy_reads() -> None:
    codec = ImuCodec(g1.IMU_LINK)
    quat, gyro, accel = np.array([0.1, 0.2, 0.3, 0.9]), np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 9.81])
    message = Imu()
    message.header.stamp, message.header.frame_id = conversions.time_message(STAMP), g1.IMU_LINK
    for field, values in (
        (message.orientation, quat),
        (message.angular_velocity, gyro),
        (message.linear_acceleration, accel),
    ):
        for axis, value in zip("xyzw", values, strict=False):
            setattr(field, axis, float(value))
    data = codec.encode(STAMP, quat, gyro, accel)
    assert len(data) == len(serialize_message(message))
    assert deserialize_message(data, Imu) == message
    message.header.frame_id = "another"
    for form in (data, bytes(serialize_message(message))):
        stamp, *arrays = codec.decode(form)
        assert stamp == STAMP
        np.testing.assert_array_equal(np.concatenate(arrays), np.concatenate([quat, gyro, accel]))
    for broken in ((quat * 0, gyro, accel), (quat, gyro * np.nan, accel)):
        with pytest.raises(ValueError, match="must be finite"):
            codec.decode(codec.encode(STAMP, *broken))
