"""The record codec against cyclonedds' own serialiser and a CRC taken bit after bit over the C struct."""

from __future__ import annotations

import numpy as np
import pytest

from retake.unitree import wire

from . import sdk


def test_the_c_structs_have_the_sizes_that_the_sdk_packs():
    assert bytes(sdk.to_c(sdk.random_state(0))).__len__() == 2092
    assert bytes(sdk.to_c(sdk.random_command(0))).__len__() == 1004


@pytest.mark.parametrize("seed", range(5))
def test_every_field_of_a_state_is_where_the_idl_serialiser_put_it(seed: int):
    state = sdk.random_state(seed)
    record = wire.decode_state(state.serialize())
    for name in ("mode_pr", "mode_machine", "tick", "crc"):
        assert record[name] == getattr(state, name)
    for name in ("version", "wireless_remote", "reserve"):
        np.testing.assert_array_equal(record[name], getattr(state, name))
    for name in ("quaternion", "gyroscope", "accelerometer", "rpy"):
        np.testing.assert_array_equal(record[name], np.float32(getattr(state.imu_state, name)))
    assert record["imu_temperature"] == state.imu_state.temperature
    for name in ("q", "dq", "ddq", "tau_est", "temperature", "vol", "sensor", "motorstate", "reserve"):
        np.testing.assert_array_equal(record["motor"][name], [getattr(motor, name) for motor in state.motor_state])
    np.testing.assert_array_equal(wire.motor_modes(record), [motor.mode for motor in state.motor_state])


@pytest.mark.parametrize("seed", range(5))
def test_every_field_of_a_command_is_where_the_idl_serialiser_put_it(seed: int):
    command = sdk.random_command(seed)
    record = wire.decode_command(command.serialize())
    assert (record["mode_pr"], record["mode_machine"], record["crc"]) == (1, 5, command.crc)
    for name in ("q", "dq", "tau", "kp", "kd", "reserve"):
        np.testing.assert_array_equal(record["motor"][name], [getattr(motor, name) for motor in command.motor_cmd])
    np.testing.assert_array_equal(record["reserve"], command.reserve)
    np.testing.assert_array_equal(wire.motor_modes(record), [motor.mode for motor in command.motor_cmd])


def test_encoded_messages_are_the_idl_serialisers_bytes():
    q = np.float32(np.linspace(-1, 1, 29))
    encoder = wire.command_encoder()
    encoder.set_modes(wire.ENABLE, 29)
    encoder.record["mode_machine"] = 5
    encoder.motors["q"][:29], encoder.motors["kd"][:29] = q, 2.5
    expected = sdk.command()
    expected.mode_machine = 5
    for i in range(29):
        motor = expected.motor_cmd[i]
        motor.mode, motor.q, motor.kd = 1, float(q[i]), 2.5
    expected.crc = sdk.plain_crc(expected)
    assert encoder.encode() == expected.serialize()

    state = sdk.random_state(3)
    record = wire.decode_state(state.serialize())
    copy = wire.state_encoder()
    for name in wire.LOW_STATE.names:
        if name not in ("motor", "crc"):
            copy.record[name] = record[name]
    for name in wire.MOTOR_STATE.names:
        if name != "mode":
            copy.motors[name][:] = record["motor"][name]
    copy.motors["mode"][1:] = record["motor"]["mode"][1:]
    assert copy.encode() == state.serialize()


def test_an_encoder_repeats_nothing_that_was_not_set_again():
    encoder = wire.command_encoder()
    encoder.motors["tau"][:29] = 7.0
    first = encoder.encode()
    encoder.motors["tau"][:29] = 0.0
    assert encoder.encode() == wire.command_encoder().encode() != first


def test_padding_does_not_count():
    """A sender in C++ may leave in its padding what its memory held; its CRC was made over zeros."""
    data = bytearray(sdk.random_state(1).serialize())
    for offset in (10, 11, 71, 72 + 52 + 1, 72 + 52 + 3):  # behind mode_machine, the first and the second motor's mode
        data[4 + offset] = 0xAB
    wire.decode_state(bytes(data))
    data = bytearray(sdk.random_command(1).serialize())
    for offset in (3, 28 + 1, 28 + 3):
        data[4 + offset] = 0xAB
    wire.decode_command(bytes(data))


@pytest.mark.parametrize("make, decode", [
    (sdk.random_state, wire.decode_state), (sdk.random_command, wire.decode_command),
])
def test_every_damaged_byte_is_found(make, decode):
    good = make(2).serialize()
    decode(good)
    padding = [i for i in range(4, len(good)) if _decodes(decode, good, i)]
    for i in padding:  # only bytes that no field uses may change unseen
        assert good[i] == 0
    assert len(padding) <= 2 + 35 * 3
    for wrong in (good[:-4], good + bytes(4), b""):
        with pytest.raises(wire.WireError, match="allowed are"):
            decode(wrong)
    with pytest.raises(wire.WireError, match="allowed is little-endian CDR"):
        decode(b"\x00\x00\x00\x00" + good[4:])


def _decodes(decode, good: bytes, i: int) -> bool:
    data = bytearray(good)
    data[i] ^= 0x10
    try:
        decode(bytes(data))
    except wire.WireError as error:
        assert "CRC" in str(error)
        return False
    return True


def test_the_compiled_pass_reads_what_the_record_has():
    state = sdk.random_state(4)
    data = state.serialize()
    joints, imu = np.empty((3, 29)), np.empty(10)
    assert wire.read_state(data, joints, imu) == (state.tick, 5)
    record = wire.decode_state(data)
    for row, name in zip(joints, ("q", "dq", "tau_est"), strict=True):
        np.testing.assert_array_equal(row, record["motor"][name][:29])
    np.testing.assert_array_equal(imu[[3, 0, 1, 2]], record["quaternion"])
    np.testing.assert_array_equal(imu[4:7], record["gyroscope"])
    np.testing.assert_array_equal(imu[7:], record["accelerometer"])
    state.motor_state[7].dq = float("nan")
    state.crc = sdk.plain_crc(state)
    with pytest.raises(wire.WireError, match="not finite"):
        wire.read_state(state.serialize(), joints, imu)
    with pytest.raises(wire.WireError, match="CRC"):
        wire.read_state(data[:-1] + b"\x00", joints, imu)


def test_setpoints_go_to_their_motors_and_to_no_other():
    encoder, rows = wire.command_encoder(), np.arange(5 * 17, dtype=float).reshape(5, 17)
    record = wire.decode_command(encoder.encode_setpoints(rows, 12))
    for row, name in zip(rows, ("q", "dq", "tau", "kp", "kd"), strict=True):
        np.testing.assert_array_equal(record["motor"][name][12:29], row)
        assert not record["motor"][name][:12].any() and not record["motor"][name][29:].any()
    with pytest.raises(ValueError, match="within 35 motors"):
        encoder.encode_setpoints(rows, 20)
