"""DM frames: bytes as the manual has them, and back."""

from __future__ import annotations

import numpy as np
import pytest

from retake.arms import dm_motor
from retake.arms.dm_motor import MOTOR_TYPES, Feedback


@pytest.mark.parametrize("name", MOTOR_TYPES)
def test_commands_survive_the_wire_within_a_step(name):
    kind, rng = MOTOR_TYPES[name], np.random.default_rng(1)
    for _ in range(50):
        sent = rng.uniform((-kind.p_max, -kind.v_max, 0, 0, -kind.t_max), (kind.p_max, kind.v_max, 500, 5, kind.t_max))
        got = dm_motor.unpack_command(kind, dm_motor.pack_command(kind, *sent))
        steps = np.array([2 * kind.p_max / 65535, 2 * kind.v_max / 4095, 500 / 4095, 5 / 4095, 2 * kind.t_max / 4095])
        assert (np.abs(np.array(got) - sent) <= 0.5001 * steps).all()


def test_known_bytes():
    kind = MOTOR_TYPES["DM4310"]
    assert dm_motor.pack_command(kind, -12.5, -30.0, 0.0, 0.0, -10.0) == bytes(8)
    assert dm_motor.pack_command(kind, 12.5, 30.0, 500.0, 5.0, 10.0) == b"\xff" * 8
    assert dm_motor.pack_command(kind, 99.0, 99.0, 999.0, 9.0, 99.0) == b"\xff" * 8  # clipped, never wrapped
    assert dm_motor.special(dm_motor.ENABLE).hex() == "fffffffffffffffc"
    middle = dm_motor.unpack_feedback(kind, bytes.fromhex("1380008008002428"))  # id 3, enabled, all near zero
    assert (middle.motor, middle.code, middle.mos_c, middle.rotor_c) == (3, dm_motor.ENABLED, 36, 40)
    assert max(abs(middle.position), abs(middle.velocity), abs(middle.torque)) < 0.01


def test_feedback_and_registers_round_trip():
    kind = MOTOR_TYPES["DM4340"]
    sent = Feedback(5, 0xB, 1.234, -2.5, 11.0, 81, 77)
    got = dm_motor.unpack_feedback(kind, dm_motor.pack_feedback(kind, sent))
    assert (got.motor, got.code, got.mos_c, got.rotor_c) == (5, 0xB, 81, 77)
    assert got.position == pytest.approx(1.234, abs=2e-4) and got.torque == pytest.approx(11.0, abs=0.01)
    assert dm_motor.register_value(dm_motor.register_answer(5, dm_motor.TIMEOUT, 8000), dm_motor.TIMEOUT) == 8000
    assert dm_motor.register_value(dm_motor.register_answer(5, dm_motor.PMAX, 12.5), dm_motor.PMAX) == 12.5
    assert dm_motor.register_value(dm_motor.register_answer(5, dm_motor.PMAX, 12.5), dm_motor.VMAX) is None
    with pytest.raises(ValueError, match="8"):
        dm_motor.unpack_feedback(kind, bytes(7))
