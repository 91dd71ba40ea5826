"""The demonstrator of g1_box begins where robot and box are: from home with the whole plan, later with what is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controllers import channels, g1, rotations
from sim.expert import CARRY_X, CLEARANCE, PLACE_DEPTH, SQUEEZE_N, BoxExpert, going_on
from sim.g1_box import SHELF_EDGE_X, draw_scene
from sim.tasks import g1_start_pose

SCENE = replace(draw_scene(0), yaw=0.1)
ON_SHELF = SCENE.shelf_height + SCENE.half_size[2]


def palms(centre: np.ndarray, gap: float, squeeze: float, yaw: float = SCENE.yaw) -> np.ndarray:
    """Reference (17,) with the palms `gap` m from the sides of a box at `centre`."""
    across = rotations.matrix(rotations.from_yaw(yaw)) @ [0.0, SCENE.half_size[1] + gap, 0.0]
    quat = rotations.from_yaw(yaw)
    return channels.join(channels.Targets(centre + across, quat, centre - across, quat, 0.6, 0.3, squeeze))


def names(expert: BoxExpert) -> list[str]:
    return [waypoint.name for waypoint in expert.waypoints]


@pytest.mark.parametrize("spread", [0.0, 0.6])
def test_demonstrations_are_the_whole_plan(spread):
    for seed in range(50):
        scene, rng = draw_scene(seed), np.random.default_rng(seed)
        start = g1_start_pose(g1.HOME_ACTION, rng, spread)
        settled = going_on(scene, scene.position + [0.0, 0.0, 5e-4], scene.yaw + 1e-4, start, seed)
        whole = BoxExpert(scene, seed)
        for t in np.arange(0.0, whole.duration, 0.5):
            np.testing.assert_array_equal(settled.act(t, start), whole.act(t, start))


@pytest.mark.parametrize(
    ("where", "first"),
    [
        (SCENE.position, "squeeze"),
        (SCENE.position + [0.0, 0.0, 0.05], "pull"),
        ([CARRY_X, 0.0, ON_SHELF - 0.1], "carry"),
        ([CARRY_X, 0.0, ON_SHELF + CLEARANCE], "over"),
        ([SHELF_EDGE_X + PLACE_DEPTH, 0.0, ON_SHELF + CLEARANCE], "lower"),
        ([SHELF_EDGE_X + PLACE_DEPTH, 0.0, ON_SHELF], "release"),
    ],
)
def test_who_holds_the_box_carries_it_on(where, first):
    held_at = np.array([0.02, 0.0, 0.01])  # from the box's middle to the palms'
    box = np.array(where)
    expert = going_on(SCENE, box, SCENE.yaw, palms(box + held_at, -0.02, SQUEEZE_N))
    assert names(expert)[0] == first and names(expert)[-1] == "wait"
    if first == "release":
        return
    end = channels.split(expert.act(expert.start_of("release") - 1e-6))
    between = 0.5 * (end.left_position + end.right_position)
    wanted = np.array([SHELF_EDGE_X + PLACE_DEPTH, 0.5 * box[1], ON_SHELF])
    np.testing.assert_allclose(between - held_at, wanted, atol=0.006, err_msg="the box gets there, not the hands")


@pytest.mark.parametrize(("gap", "away", "first"), [(0.06, 0.0, "close"), (0.09, 0.12, "beside"), (0.09, 0.3, "wide")])
def test_free_hands_go_to_where_the_box_is_now(gap, away, first):
    box = SCENE.position + [0.03, -0.04, 0.0]
    expert = going_on(SCENE, box, SCENE.yaw, palms(box - [away, 0.0, 0.0], gap, 0.0))
    assert names(expert)[0] == first
    grasp = channels.split(expert.act(expert.start_of("lift") - 1e-6))
    np.testing.assert_allclose(0.5 * (grasp.left_position + grasp.right_position), box, atol=0.009)


def test_a_box_that_stands_on_the_shelf_is_let_go():
    box = np.array([SHELF_EDGE_X + PLACE_DEPTH, 0.0, ON_SHELF])
    assert names(going_on(SCENE, box, SCENE.yaw, palms(box, 0.03, 0.0)))[0] == "open"
