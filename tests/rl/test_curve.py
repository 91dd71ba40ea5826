"""The picture of a learning curve: round numbers below, every point inside."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from policies.rl.curve import HEIGHT, WIDTH, Line, draw


@pytest.mark.parametrize(("longest", "labels"), [
    (1, ["0", "1"]), (8, ["0", "2", "4", "6", "8"]), (5_007, ["0", "1,000", "2,000", "3,000", "4,000", "5,000"]),
    (30_000, ["0", "5,000", "10,000", "15,000", "20,000", "25,000", "30,000"]),
])  # fmt: skip
def test_the_steps_below_are_round(longest, labels):
    picture = draw("a", [Line("b", [(0, 1, 2), (longest, 2, 2)])], (1, 2))
    assert re.findall(rf'y="{HEIGHT - 24}" text-anchor="middle">([\d,]+)<', picture) == labels


def test_every_point_is_inside_and_names_are_escaped():
    picture = ElementTree.fromstring(draw("a < b", [Line("x & y", [(0, 0, 10), (50, 10, 10)])]))
    line = picture.find("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
    assert len(points) == 2 and all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[0][1] > points[1][1], "success is up"


def test_names_do_not_lie_over_the_title():
    title, *others = re.findall(r'y="([\d.]+)"[^>]*>', draw("a title", [Line("a name", [(0, 0, 10), (50, 10, 10)])]))
    assert float(others[-1]) >= float(title) + 14.0, "font sizes 14 and 11"
