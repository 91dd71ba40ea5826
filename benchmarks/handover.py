"""Switches of authority at random moments, and the way back along the robot's path, in the launched graph in real time.

`python -m benchmarks.handover RIG SWITCHES REWINDS` is the person; it prints one line of JSON. The G1 is moved by its
trained policy, arms by chunks to random places that this process publishes as a policy server would.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import rclpy

from benchmarks.person import DEVICE, STREAM_S, Person, real_time
from controllers.rigs import rig_of
from policies.episode_meta import read_meta

BUILD = Path("build/bench")
DOMAIN = "76"
SWITCHES, REWINDS = 200, 15  # over both robots, per robot
WINDOW_S = 0.25  # before and after a switch
EPISODE_S = 11.0  # of the G1's policy; then a new world
CHUNK_S, CHUNK_POINTS = 0.066, 16
START_S = 1.0
RATE_SMOOTH = 5  # commands: 10 ms at 500 Hz, the acceleration's grain
SEED = 11


def measure() -> dict[str, dict[str, Any]]:
    """Both robots; each in a graph of its own."""
    runs = {rig: _run(rig) for rig in ("g1", "yam")}
    worst = {key: max(run[key] for run in runs.values()) for key in
             ("velocity_ratio", "acceleration_ratio", "path_error_m", "path_error_rad", "return_error_m")}
    return {
        "handover_velocity_ratio": {"value": worst["velocity_ratio"], "peer": None, "runs": runs},
        "handover_acceleration_ratio": {"value": worst["acceleration_ratio"], "peer": None},
        "handover_frames_lost": {"value": sum(run["frames_lost"] for run in runs.values()), "peer": None},
        "rewind_path_error_m": {"value": worst["path_error_m"], "peer": None,
                                "degrees": round(float(np.degrees(worst["path_error_rad"])), 2)},
        "rewind_return_error_m": {"value": worst["return_error_m"], "peer": None},
        "falls": {"value": sum(run["falls"] for run in runs.values())},
    }  # fmt: skip


def _run(rig: str) -> dict[str, Any]:
    BUILD.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"ROS_DOMAIN_ID": DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
                                "OMP_NUM_THREADS": "1"}
    root = BUILD / "handover" / rig
    shutil.rmtree(root, ignore_errors=True)
    up = [sys.executable, "-m", "retake.cli", "up", f"rig:={rig}", "headless:=true", f"root:={root}"]
    with (BUILD / f"handover_{rig}.log").open("w") as log:
        graph = subprocess.Popen(up, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            script = [sys.executable, "-m", "benchmarks.handover", rig, str(SWITCHES // 2), str(REWINDS)]
            done = subprocess.run(script, check=True, env=environment, stdout=subprocess.PIPE, text=True)
        finally:
            graph.send_signal(signal.SIGINT)
            graph.wait(20)
    lost: Counter[str] = Counter()  # by the publishers' sequence numbers, in every topic of every episode
    for folder in root.iterdir():
        lost.update(read_meta(folder).get("lost", {}))
    return json.loads(done.stdout.splitlines()[-1]) | {"frames_lost": sum(lost.values()), "lost": dict(lost)}


class Scene:
    """What goes on when nobody interferes: a policy moves the robot, world after world."""

    def __init__(self, person: Person, rng: np.random.Generator) -> None:
        self.person, self._rng = person, rng
        self._is_arm = person.rig.arms is not None
        self._goal: np.ndarray | None = None
        self._since_ns = self._chunk_ns = 0
        self.falls = self.drops = self.worlds = 0
        self.starts: list[int] = []  # ns, of the worlds

    def begin(self) -> None:
        """A new world, moved by the policy."""
        if self.worlds:
            self.end()
        self._since_ns = self.person.new_world()["stamp_ns"]
        self.worlds += 1
        self.starts.append(self._since_ns)
        self.person.call("hand_back")

    def end(self) -> None:
        """Note how this world ends."""
        failure = self.person.truth.get("failure", "")
        self.falls += failure == "fallen"
        self.drops += failure == "dropped"
        self.person.call("episode/discard", needed=False)

    def play(self, seconds: float, streams: np.ndarray | None = None) -> None:
        """Let it go on for so long; `streams` (dim,): what the person's device says meanwhile."""
        end = self.person.get_clock().now().nanoseconds + round(seconds * 1e9)
        while self.person.get_clock().now().nanoseconds < end:
            if self._is_arm:
                self._think()
            if streams is not None:
                self.person.stream(streams)
            self.person.spin(STREAM_S)

    @property
    def is_over(self) -> bool:
        """The world has nothing more to show."""
        age = (self.person.get_clock().now().nanoseconds - self._since_ns) / 1e9
        return bool(self.person.truth.get("failure")) or age > EPISODE_S

    def _think(self) -> None:
        """Every 0.4 s a chunk from where the hand is towards a random place, as an arm's policy would."""
        now = self.person.get_clock().now().nanoseconds
        if now - self._chunk_ns < 400_000_000:
            return
        self._chunk_ns = now
        rig, pose = self.person.rig, self.person.pose
        if self._goal is None or np.linalg.norm(self._goal[:3] - pose[:3]) < 0.03:
            self._goal = rig.home_action.copy()
            self._goal[:3] += self._rng.uniform([-0.08, -0.15, 0.0], [0.08, 0.15, 0.15])
        way = rig.layout.difference(pose, self._goal)
        pace = min(1.0, 0.25 * CHUNK_S * CHUNK_POINTS / max(float(np.linalg.norm(way[:3])), 1e-6))
        steps = np.linspace(0.0, pace, CHUNK_POINTS + 1)[1:]
        actions = np.stack([rig.layout.validated(rig.layout.moved(pose, way * share)) for share in steps])
        self.person.offer_chunk([round(CHUNK_S * 1e9 * (k + 1)) for k in range(CHUNK_POINTS)], actions)


def switch(scene: Scene, rng: np.random.Generator) -> list[int]:
    """One take-over at a random moment, a small movement, and the hand-back; stamps (ns) of both."""
    person = scene.person
    if scene.is_over:
        scene.begin()
    scene.play(float(rng.uniform(0.8, 2.5)))
    stamps = [person.get_clock().now().nanoseconds]
    person.call(f"{DEVICE}/take_over")
    action = person.pose.copy()
    scene.play(0.3, action)
    for part in person.rig.layout.positions:
        action[part] += rng.uniform(-0.03, 0.03, 3)
    scene.play(float(rng.uniform(0.4, 0.9)), person.rig.layout.validated(action))
    stamps.append(person.get_clock().now().nanoseconds)
    person.call("hand_back")
    scene.play(WINDOW_S + 0.1)
    return stamps


def rewound(scene: Scene, rng: np.random.Generator) -> dict[str, float]:
    """One world from its beginning, taken over at a random moment, rewound to its start."""
    person = scene.person
    scene.begin()
    first = len(person.poses)
    scene.play(float(rng.uniform(1.5, 4.0)))
    person.call(f"{DEVICE}/take_over")
    person.spin(1.0)
    path = np.array(person.poses[first:])
    begins = len(person.poses)
    for _ in range(3):  # on past the places where hands were closed, each of which is asked for
        person.call("rewind", needed=False)
        _hold_until_it_stops(person)
    person.spin(1.0)
    back = np.array(person.poses[begins:])
    off, turned = _off(path, back, person)
    hands = [slice(part.start, part.stop) for part in person.rig.layout.positions]
    return {"path_m": off, "path_rad": turned,
            "return_m": max(float(np.linalg.norm(back[-1][hand] - path[0][hand])) for hand in hands),
            "way_m": max(float(np.linalg.norm(np.diff(path[:, hand], axis=0), axis=1).sum()) for hand in hands)}


def _hold_until_it_stops(person: Person) -> None:
    """Hold the rewind button as long as the robot moves, 20 s at most."""
    person.hold_rewind(1.0)
    for _ in range(40):
        before = person.pose
        person.hold_rewind(0.5)
        if float(np.abs(person.rig.layout.difference(before, person.pose)).max()) < 0.002:
            return


def _off(path: np.ndarray, back: np.ndarray, person: Person) -> tuple[float, float]:
    """The largest distance (m, rad) of a pose on the way back from the path, hand by hand, between its points too."""
    layout = person.rig.layout
    worst_m = worst_rad = 0.0
    for pose in back[::2]:
        for position, quat in zip(layout.positions, layout.quats, strict=True):
            a, b = path[:-1, position], path[1:, position]
            along = b - a
            length = np.maximum(np.einsum("ij,ij->i", along, along), 1e-12)
            share = np.clip(np.einsum("ij,ij->i", pose[position] - a, along) / length, 0.0, 1.0)
            near = a + share[:, None] * along
            distances = np.linalg.norm(near - pose[position], axis=1)
            worst_m = max(worst_m, float(distances.min()))
            close = distances < distances.min() + 0.01
            dots = np.abs(path[:-1][close][:, quat] @ pose[quat])
            worst_rad = max(worst_rad, float(2.0 * np.arccos(np.clip(dots.max(), -1.0, 1.0))))
    return worst_m, worst_rad


def ratios(person: Person, switches: list[int], starts: list[int]) -> dict[str, float | str]:
    """Peaks of commanded joint speed and acceleration around the switches beside those of undisturbed motion; the first
    second of a world, in which the robot is put on its feet, is none."""
    stamps, speeds = np.array(person.command_stamps), np.array(person.speeds)
    steps = np.diff(stamps) / 1e9
    fine = (steps > 0.0005) & (steps < 0.02)
    kernel = np.ones(RATE_SMOOTH) / RATE_SMOOTH
    smooth = np.apply_along_axis(lambda column: np.convolve(column, kernel, "same"), 0, speeds)
    rates = np.where(fine[:, None], np.diff(smooth, axis=0) / np.maximum(steps, 1e-6)[:, None], 0.0)
    at = np.array(switches)
    distance = np.abs(stamps[:-1, None] - at[None]).min(axis=1) / 1e9
    window = round(2 * WINDOW_S * 1e9)

    def peaks(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
        inside = np.abs(values).max(axis=1) * mask
        bins = stamps[:-1] // window
        return np.array([inside[bins == b].max() for b in np.unique(bins[mask])])

    since = (stamps[:-1] - np.array([0, *starts])[np.searchsorted(starts, stamps[:-1])]) / 1e9
    until = np.array([*starts, 2**62])[np.searchsorted(starts, stamps[:-1])] - stamps[:-1]
    moves = (since > START_S) & (until > 2e8)
    near, calm = moves & (distance <= WINDOW_S), moves & (distance > 2 * WINDOW_S)
    result: dict[str, float | str] = {}
    for name, values in (("velocity", speeds[:-1]), ("acceleration", rates)):
        a, b = peaks(near & fine, values), peaks(calm & fine, values)
        k, joint = np.unravel_index(int(np.argmax(np.abs(values) * (near & fine)[:, None])), values.shape)
        nearest = int(np.argmin(np.abs(at - stamps[k])))
        result[f"{name}_worst"] = (f"{person.rig.joint_names[joint]}, {(stamps[k] - at[nearest]) / 1e9:.3f} s from a "
                                   f"{('take-over', 'hand-back')[nearest % 2]}")
        result |= {f"{name}_ratio": float(a.max() / b.max()), f"{name}_peak": float(a.max()),
                   f"{name}_p95_ratio": float(np.percentile(a, 95) / np.percentile(b, 95))}
    return result


def main() -> int:
    """Arguments: rig, how many switches, how many rewinds."""
    rig, count, rewinds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rclpy.init()
    person, rng = Person(rig_of(rig)), np.random.default_rng(SEED)
    real_time()
    person.until(lambda: person.stamps and person.authority, "robot", 120.0)
    person.spin(3.0)
    scene = Scene(person, rng)
    scene.begin()
    switches = [stamp for _ in range(count // 2) for stamp in switch(scene, rng)]
    result = ratios(person, switches, scene.starts) | {"switches": len(switches)}
    ways = [rewound(scene, rng) for _ in range(rewinds)]
    scene.end()
    worst = {"path_error_m": "path_m", "path_error_rad": "path_rad", "return_error_m": "return_m"}
    result |= {key: max(way[name] for way in ways) for key, name in worst.items()}
    result |= {"falls": scene.falls, "drops": scene.drops, "worlds": scene.worlds, "ways": ways}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
