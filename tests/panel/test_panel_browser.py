"""The panel as an operator uses it: the real node, real messages from a stub graph, a headless Chromium."""

from __future__ import annotations

import numpy as np
import pytest

from controllers import g1

browser = pytest.importorskip("browser", reason="selenium is missing: pip install -e .[dev]")
from waiting import wait_for  # noqa: E402

from retake.panel.scene import G1_VIEW  # noqa: E402

pytestmark = pytest.mark.skipif(not (browser.CHROMIUM and browser.DRIVER),
                                reason="no Chromium: apt install chromium chromium-driver")

SILENCE_S = 15.0  # a software renderer may take seconds for a picture, and the page answers only between pictures


@pytest.fixture
def page(panel, tmp_path):
    opened = browser.Browser(panel.address, tmp_path / "profile")
    yield opened
    opened.close()


def test_take_over_drag_hand_back(stub, page):
    page.says("retake-status", "POLICY")
    wait_for(lambda: page.text("retake-status").count("no data") == 1)  # only policy chunks are missing
    page.click("Take over")
    page.says("retake-status", "YOU DRIVE")
    wait_for(lambda: len(stub.actions) > 10)
    np.testing.assert_allclose(stub.actions[0], g1.HOME_ACTION, atol=1e-6)  # it begins where the robot is

    hand = g1.HOME_ACTION[g1.LEFT_POSITION]
    page.drag(hand + [0, 0, 0.16], hand + [0, 0, 0.30], G1_VIEW)  # by the gizmo's vertical arrow
    wait_for(lambda: stub.actions[-1][2] > hand[2] + 0.05)
    changed = np.abs(stub.actions[-1] - g1.HOME_ACTION) > 0.005
    assert [g1.ACTION_CHANNELS[i] for i in np.flatnonzero(changed)] == ["left_ee.z"]

    before = stub.actions[-1].copy()
    page.press("2", "i", "i", "i")  # right hand, three presses forward
    wait_for(lambda: abs(stub.actions[-1][g1.RIGHT_POSITION][0] - before[7] - 0.03) < 1e-6)
    page.press("h")
    page.says("retake-status", "POLICY")
    page.press(" ")
    page.says("retake-status", "STOPPED")
    page.click("Release")
    page.says("retake-status", "HOLDING")
    assert stub.called == ["panel/take_over", "hand_back", "stop", "release_stop"]


def test_rewind_is_held_and_take_over_goes_on_from_there(stub, page):
    page.says("retake-status", "POLICY")
    page.click("Take over")
    page.says("retake-status", "YOU DRIVE")
    page.click("Open hand")  # nothing to open here: refused, and the way back does not begin
    page.says("retake-answer", "hold Rewind first")
    let_go = page.hold("Rewind (hold)")
    wait_for(lambda: len(stub.path_speeds) > 5)
    page.says("retake-status", "REWIND")
    let_go()
    assert set(stub.path_speeds) == {-1.0}
    page.click("Take over")
    page.says("retake-status", "YOU DRIVE")
    assert stub.called == ["panel/take_over", "rewind", "panel/take_over"]
