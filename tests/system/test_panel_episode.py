"""An operator at the real graph: takes over in the browser, drags a hand, hands back, and the policy finishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from controllers import g1

browser = pytest.importorskip("browser", reason="selenium is missing: pip install -e .[dev]")
from waiting import free_port  # noqa: E402

from retake.panel.scene import G1_VIEW  # noqa: E402

CHECKPOINT = Path(__file__).resolve().parents[2] / "policies/checkpoints/g1_box"
SEED = 5003
DRAG_M = 0.12
FINISH_S = 200.0  # wall time

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not (browser.CHROMIUM and browser.DRIVER), reason="no Chromium: apt install chromium-driver"),
]


def test_take_over_drag_hand_back_and_the_policy_finishes(launch, tmp_path: Path) -> None:
    port = free_port()
    graph = launch(seed=SEED, policy=CHECKPOINT, headless="false", port=port)
    operator = graph.operator
    operator.until(lambda: "teleop_web" in operator.heard, 180.0, "panel")
    page = browser.Browser(f"http://127.0.0.1:{port}", tmp_path / "profile")
    try:
        page.says("retake-status", "HOLDING")
        operator.begin()
        page.click("Take over")
        operator.until(lambda: operator.authority == "teleop", what="take-over")
        operator.for_sim_s(1.0)
        hand = operator.measured[g1.LEFT_POSITION].copy()
        page.drag(hand + [0, 0, 0.16], hand + [0, 0, 0.16 + DRAG_M], G1_VIEW)  # by the gizmo's vertical arrow
        operator.until(lambda: operator.measured[g1.LEFT_POSITION][2] > hand[2] + 0.04, what="hand that follows")
        page.driver.save_screenshot(str(tmp_path / "driving.png"))
        page.click("Hand back")
        operator.until(lambda: operator.truth["success"] or operator.truth["fallen"], FINISH_S, "end of the task")
    finally:
        page.close()
    assert operator.truth["success"]
    operator.check_no_jumps()
    assert graph.end() == 0
