"""Every row of the README's tables "if this stops, then": the tests that show it. A row without one fails here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHOWN_BY = {  # how a row begins: tests
    "`joint_command` for 100 ms": (
        "nodes/test_g1_sim.py::test_without_answers_the_motors_damp_within_the_lease",
        "wire/test_g1_driver.py::test_no_joint_command_for_100_ms_damps_until_start",
        "system/test_kill.py::test_without_controller_it_is_damped",
    ),
    "`reference` for 200 ms": (
        "nodes/test_whole_body_controller.py::test_a_lost_reference_is_said_and_the_robot_is_still_commanded",
        "wire/test_driver_gate.py::test_the_walk_follows_a_fresh_reference_and_stands_still_without_one",
        "wire/test_g1_driver.py::test_the_firmware_keeps_the_legs_and_gets_height_and_velocity",
        "system/test_kill.py::test_it_stands_on_when_others_die",
    ),
    "`teleop_action` for 0.3 s": (
        "nodes/test_authority_core.py::test_teleop_lease", "panel/test_panel_node.py::test_dead_man",
    ),
    "gamepad, pose stream": (
        "teleop/test_teleop_joy.py::test_unplugged_while_it_moves",
        "teleop/test_teleop_keyboard.py::test_a_tap_is_a_step_that_ends_by_itself",
        "teleop/test_teleop_pose.py::test_what_is_lost_needs_a_new_press",
        "teleop/test_teleop_spacemouse.py::test_unplugged_while_it_moves",
        "teleop/test_teleop_webxr.py::test_what_is_lost_needs_a_new_grip",
    ),
    "a second device": (
        "controllers/test_rewind.py::test_the_second_operator_is_told_who_has_it",
        "nodes/test_authority.py::test_a_device_takes_over_by_its_name_and_goes_back_along_the_path",
    ),
    "`residual`": ("controllers/test_residual_player.py::test_without_a_next_one_it_goes_away_by_itself",),
    "`retake replay`": (
        "look/test_replay.py::test_a_stop_ends_it", "nodes/test_authority_core.py::test_teleop_lease",
    ),
    "`action_chunk`": (
        "nodes/test_authority_core.py::test_chunk_that_ends_holds_its_last_point_and_keeps_authority",
        "system/test_kill.py::test_it_stands_on_when_others_die",
    ),
    "a policy server elsewhere": (
        "remote/test_remote_policy.py::test_a_half_open_connection",
        "remote/test_remote_node.py::test_answers_while_there_is_a_server",
    ),
    "a camera's cable": ("cameras/test_camera_realsense.py::test_an_unplugged_device_is_found_again",),
    "`joint_states`": (
        "nodes/test_whole_body_controller.py::test_publishes_nothing_without_state_or_with_half_of_it",
    ),
    "`recorder`": (
        "record/test_recorder.py::test_sigkill_costs_at_most_half_a_second",
        "system/test_kill.py::test_it_stands_on_when_others_die",
    ),
    "`retake up`": ("system/test_up.py::test_a_killed_up_leaves_no_node_behind",),
    "the robot falls": ("nodes/test_whole_body_controller.py::test_a_fall_is_damped",),
    "the G1's cable": (
        "wire/test_g1_driver.py::test_a_pulled_cable_damps_and_the_robot_is_checked_again",
        "wire/test_g1_driver.py::test_damaged_states_are_refused_and_then_count_as_silence",
    ),
    "`g1_driver`": ("wire/test_g1_driver.py::test_a_driver_that_dies_leaves_a_braked_robot",),
    "the driver's guard": ("wire/test_g1_driver.py::test_a_killed_guard_damps_and_is_replaced",),
    "another program": ("wire/test_g1_driver.py::test_a_rival_that_appears_damps",),
    "L2+B": ("wire/test_g1_driver.py::test_l2_and_b_on_the_remote_damp",),
    "no `joint_command` for 100 ms": (
        "arm/test_arm_nodes.py::test_without_commands_the_arm_holds",
        "arm/test_arm_driver.py::test_homes_holds_and_follows",
    ),
    "a motor reports": (
        "arm/test_arm_driver.py::test_temperatures_and_errors_stop_the_arm_until_a_person_clears_them",
    ),
    "the bus goes off": ("arm/test_arm_driver.py::test_bus_off_ends_the_driver_by_name",),
    "the leader's button": (
        "arm/test_leader_arm.py::test_floats_and_speaks_only_while_the_button_is_held",
        "arm/test_leader_arm.py::test_silence_of_the_handle_ends_the_stream",
    ),
}


def rows() -> list[str]:
    """The first cells of the tables whose head begins with `if this`."""
    found, is_inside = [], False
    for line in (ROOT / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| if this"):
            is_inside = True
        elif not line.startswith("|"):
            is_inside = False
        elif is_inside and not re.fullmatch(r"-+", cells[0]):
            found.append(cells[0])
    return found


def shown(row: str) -> str:
    """The entry of a row: the longest that it begins with."""
    return max((start for start in SHOWN_BY if row.startswith(start)), key=len, default="")


def test_every_row_has_its_tests_and_every_entry_its_row() -> None:
    assert len(rows()) > 15
    assert [row for row in rows() if not shown(row)] == []
    assert sorted(map(shown, rows())) == sorted(SHOWN_BY)


@pytest.mark.parametrize("test", sorted({test for tests in SHOWN_BY.values() for test in tests}))
def test_the_tests_exist(test: str) -> None:
    path, name = test.split("::")
    tree = ast.parse((ROOT / "tests" / path).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
