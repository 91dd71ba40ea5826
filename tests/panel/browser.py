"""A headless Chromium that looks at the panel as an operator does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from waiting import wait_for

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--window-size=1000,800"
)
COARSE = "fixedDpr=0.25"  # viser then draws fewer pixels: software rendering shares two cores with everything else
FIELD_OF_VIEW = np.radians(75.0)  # vertical, viser's default


class Browser:
    """One window of the panel."""

    def __init__(self, address: str, profile: Path) -> None:
        options = Options()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
            options.add_argument(flag)
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER, log_output=subprocess.DEVNULL))
        self.driver.get(address + ("&" if "?" in address else "/?") + COARSE)

    def text(self, name: str) -> str:
        """Text of the status ("retake-status") or of the last answer ("retake-answer")."""
        # in one go: the status is redrawn four times a second, and an element found is soon gone
        return self.driver.execute_script("return document.getElementById(arguments[0])?.innerText ?? ''", name)

    def says(self, name: str, words: str, seconds: float = 60.0) -> None:
        """Wait until the status or answer contains `words`."""
        try:
            wait_for(lambda: words in self.text(name), seconds)
        except AssertionError as error:
            raise AssertionError(f"{name} never said {words!r}, but {self.text(name)!r}") from error

    def click(self, label: str) -> None:
        """Press the button with this label."""
        button = wait_for(lambda: [b for b in self.driver.find_elements(By.TAG_NAME, "button") if b.text == label])[0]
        button.click()

    def hold(self, label: str) -> Callable[[], None]:
        """Press the button with this label and keep it down; what is returned lets go."""
        button = wait_for(lambda: [b for b in self.driver.find_elements(By.TAG_NAME, "button") if b.text == label])[0]
        ActionChains(self.driver).click_and_hold(button).perform()
        return lambda: ActionChains(self.driver).release().perform()

    def press(self, *keys: str) -> None:
        """Type on the keyboard."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def drag(self, start: np.ndarray, end: np.ndarray, view: tuple) -> None:
        """Drag with the mouse from the picture of a point (3,) m in odom to another's, from `view` (eye, target)."""
        canvas = self.driver.find_element(By.TAG_NAME, "canvas")
        steps = [self._pixel(canvas, point, view) for point in np.linspace(start, end, 8)]
        mouse = ActionChains(self.driver, duration=50)
        mouse.move_to_element_with_offset(canvas, *steps[0]).pause(0.5).click_and_hold().pause(0.3)
        for step in steps[1:]:
            mouse.move_to_element_with_offset(canvas, *step).pause(0.1)
        mouse.release().perform()

    def close(self) -> None:
        """Close the window."""
        self.driver.quit()

    @staticmethod
    def _pixel(canvas: WebElement, point: np.ndarray, view: tuple) -> tuple[int, int]:
        """Where `point` (3,) is drawn, in pixels from the middle of the canvas."""
        eye, target = np.array(view[0]), np.array(view[1])
        forward = (target - eye) / np.linalg.norm(target - eye)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        scale = 0.5 * canvas.rect["height"] / np.tan(0.5 * FIELD_OF_VIEW) / np.dot(point - eye, forward)
        return round(scale * np.dot(point - eye, right)), round(-scale * np.dot(point - eye, up))
