"""The page itself in a headless Chromium, with an emulated headset: what a person sees, and what their hands do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retake.teleop.webxr import TeleopWebxr
from tests.panel.waiting import free_port
from tests.teleop.conftest import Bench

browser = pytest.importorskip("browser", reason="selenium is missing: pip install -e .[dev]")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402

pytestmark = pytest.mark.skipif(not (browser.CHROMIUM and browser.DRIVER),
                                reason="no Chromium: apt install chromium chromium-driver")
EMULATION = (Path(__file__).parent / "emulated_headset.js").read_text()
PATIENCE_S = 60.0


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = browser.CHROMIUM
    for flag in (*browser.FLAGS.split(), "--ignore-certificate-errors", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(browser.DRIVER, log_output=subprocess.DEVNULL))
    yield driver
    driver.quit()


class Page:
    """The page, looked at while the graph goes on."""

    def __init__(self, driver: webdriver.Chrome, robot: Bench) -> None:
        self._driver, self._robot = driver, robot

    def text(self, name: str) -> str:
        return self._driver.execute_script("return document.getElementById(arguments[0]).innerText", name)

    def says(self, name: str, words: str) -> None:
        def has_said() -> bool:
            self._robot.probe.serve(0.5)
            return words in self.text(name)

        self._robot.probe.until(has_said, PATIENCE_S)

    def do(self, script: str) -> None:
        self._driver.execute_script(script)

    def board(self) -> int:
        """Pixels of the headset's picture that are not empty."""
        return self._driver.execute_async_script("""
            const answer = arguments[0], gl = document.querySelector("canvas").getContext("webgl2");
            headset.look = () => {
              const pixels = new Uint8Array(360 * 180 * 4);
              gl.readPixels(0, 0, 360, 180, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
              answer(pixels.filter((value, k) => k % 4 === 3 && value > 0).length);
            };""")

    def picture(self, name: str) -> None:
        if folder := os.environ.get("RETAKE_PICTURES"):
            self._driver.save_screenshot(f"{folder}/{name}.png")


@pytest.mark.heavy  # a browser that draws in software beside a graph that must not wait for it
def test_a_person_drives_through_the_page(bench, chromium):
    robot, port = bench("g1"), free_port()
    device = robot.add(TeleopWebxr, port=port)
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": EMULATION})
    chromium.get(f"http://127.0.0.1:{port}/")
    page = Page(chromium, robot)
    page.says("enter", "Enter")
    page.says("who", "NONE")
    page.do("document.getElementById('enter').click()")
    robot.probe.until(lambda: device._device._frame is not None, PATIENCE_S)
    page.do("headset.right.buttons[4] = 1")  # A
    robot.says("teleop")
    page.do("headset.right.buttons[4] = 0")
    page.says("who", "YOU DRIVE")
    home = robot.pose.copy()
    page.do("headset.right.buttons[1] = 1")  # grip
    robot.probe.until(lambda: len(robot.actions) > 3, PATIENCE_S)
    for _ in range(10):
        page.do("headset.right.pose[2] -= 0.005")
        robot.probe.serve(0.1)
    part = robot.rig.layout.positions[1]
    robot.probe.until(lambda: np.allclose(robot.pose[part], home[part] + [0.05, 0, 0], atol=5e-3), PATIENCE_S)
    for stage in ("network", "server", "authority", "sum"):
        page.says(f"age-{stage}", "ms")
    page.picture("webxr_drives")
    page.do("window.scrollTo(0, 9999)")
    page.picture("webxr_board")
    assert page.board() > 1000  # the board in the room is drawn
    errors = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in errors if "favicon" not in message]
    page.do("headset.right.buttons[1] = 0")
    robot.is_silent()
    page.do("document.querySelector('[data-call=stop]').click()")
    page.says("who", "STOPPED")
    device._device.close()  # the server is gone: the page says so and does not pretend
    page.says("who", "NOT CONNECTED")
    page.picture("webxr_lost")


def test_without_a_headset_the_page_says_what_to_do(bench, chromium):
    robot, port = bench("yam"), free_port()
    robot.add(TeleopWebxr, port=port)
    chromium.get(f"http://127.0.0.1:{port}/")
    page = Page(chromium, robot)
    page.says("enter", "headset")
    page.do("document.querySelector('[data-call=take_over]').click()")
    robot.says("teleop")
    page.says("who", "YOU DRIVE")
    page.picture("webxr_no_headset")
