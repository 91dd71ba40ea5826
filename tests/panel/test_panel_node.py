"""The node among real messages, reached over the WebSocket without a browser."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from waiting import wait_for
from wire_browser import WireBrowser

from controllers import g1

SILENCE_S = 3.0
TELEOP_LEASE_S = 0.3


@pytest.fixture
def open_browser():
    opened = []

    def open_one(panel, **arguments) -> WireBrowser:
        opened.append(WireBrowser(panel.port, **arguments))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def streams(stub) -> bool:
    before = len(stub.actions)
    time.sleep(0.3)
    return len(stub.actions) > before


def drive(stub, browser: WireBrowser) -> None:
    wait_for(lambda: browser.text().count("no data") == 1)  # only policy chunks are missing
    browser.click("Take over")
    browser.says("YOU DRIVE")
    wait_for(lambda: stub.actions)


def test_targets_stream_while_driving(stub, panel, open_browser):
    browser = open_browser(panel)
    drive(stub, browser)
    np.testing.assert_allclose(stub.actions[0], g1.HOME_ACTION, atol=1e-6)
    began, count = time.monotonic(), len(stub.actions)
    time.sleep(2.0)
    rate = (len(stub.actions) - count) / (time.monotonic() - began)
    assert 1.0 / TELEOP_LEASE_S < rate < 55.0  # 50 Hz; a starved machine sends less, but within the lease

    browser.drag("left", (0.30, 0.25, 0.95))
    browser.slide("Squeeze (N)", 12.0)
    browser.trigger("Height down")
    expected = g1.HOME_ACTION.copy()
    expected[g1.LEFT_POSITION], expected[g1.SQUEEZE] = (0.30, 0.25, 0.95), 12.0
    expected[g1.BASE_HEIGHT] -= 0.01
    wait_for(lambda: np.allclose(stub.actions[-1], expected))
    browser.drag("right", (float("nan"), 0.0, 0.9))
    browser.drag("right", (5.0, 0.0, 0.9))  # out of reach: clamped, not refused
    wait_for(lambda: stub.actions[-1][7] == g1.ACTION_UPPER[7])
    assert np.isfinite(stub.actions).all()

    browser.click("Hand back")
    browser.says("POLICY")
    assert not streams(stub)
    assert stub.called == ["panel/take_over", "hand_back"]


def test_one_driver_and_a_stop_for_everybody(stub, panel, open_browser):
    first, second = open_browser(panel), open_browser(panel)
    drive(stub, first)
    second.says("drives")
    second.click("Take over")
    second.says("has it; it must hand back")
    second.click("Hand back")
    second.says("only it can hand back")
    second.click("STOP")
    first.says("STOPPED")
    first.says("STOP (browser")
    assert not streams(stub)
    assert stub.called == ["panel/take_over", "stop"]


def test_dead_man(stub, panel, open_browser):
    silent, other = open_browser(panel), open_browser(panel)
    drive(stub, silent)
    time.sleep(1.3 * SILENCE_S)
    assert streams(stub)  # a quiet hand is not a silent browser
    silent.alive = False
    other.says("was silent")
    assert not streams(stub)
    drive(stub, other)  # an explicit act goes on
    assert streams(stub)
    other.close()
    wait_for(lambda: not streams(stub), 5.0)


def test_answers_and_outcomes(stub, panel, open_browser):
    browser = open_browser(panel)
    browser.says("POLICY")
    browser.click("Success")
    browser.says("Success: done")
    stub.refuse = "the robot lies on the floor"
    browser.click("Take over")
    browser.says("the robot lies on the floor")
    assert not stub.actions
    assert stub.called == ["episode/success", "panel/take_over"]


def test_which_residual_acts_and_whether_it_asks(stub, panel, open_browser):
    browser, told = open_browser(panel), {"sha256": "0123456789abcdef", "version": 640, "asks": True}
    stub.tell_residual(json.dumps(told), True)
    browser.says("01234567, 640 updates, asks its critics, on")
    stub.tell_residual("{}", False)
    browser.says("01234567, 640 updates, asks its critics, off")
    stub.tell_residual(json.dumps({**told, "version": 700, "asks": False}), False)
    browser.says("01234567, 700 updates, off")


def test_without_other_nodes_and_other_pages(run_panel, open_browser):
    panel = run_panel(namespace="/alone")
    browser = open_browser(panel, origin=panel.address)
    browser.says("NO AUTHORITY NODE")
    assert browser.text().count("no data") == 5
    browser.click("STOP")
    browser.says("nobody offers /alone/stop: is the node authority running?")
    foreign = open_browser(panel, origin="http://elsewhere.example")
    assert "the page comes from" in foreign.is_refused()
    assert foreign.received == 0


def test_refuses_a_taken_port(panel, run_panel):
    second = run_panel(port=panel.port)
    assert second.process.wait(30) == 1
    assert f"port {panel.port} on 127.0.0.1 cannot be used" in second.log.read_text()
    assert "Traceback" not in second.log.read_text()


def test_token(run_panel, open_browser):
    panel = run_panel("token:=correct horse battery", namespace="/alone")
    assert "token" in open_browser(panel).is_refused()
    open_browser(panel, path="/?token=correct+horse+battery").says("NO AUTHORITY")
