"""From what a device's hands ask for to the action that is streamed: integrated or followed, and bounded. Pure.

The action starts where the robot is when the dead man closes, and is from then on moved as the person moves. It stays
inside the rig's workspace and speeds, and no further ahead of the robot than a leash: a hand that is blocked does not
have to be driven back first. A grasp that is set absolutely (a trigger) waits until the person has passed the robot's.
"""

from __future__ import annotations

import numpy as np

from controllers import rotations
from controllers.rigs import Rig
from retake.teleop.hands import Hands

LEASH_M, LEASH_RAD = 0.2, 0.8  # action to measured pose; at full speed a hand is 6 to 10 cm behind
PAUSE_NS = 400_000_000  # authority clutches a stream anew after 300 ms; a shorter pause goes on where it was
STEP_S = 0.05  # a longer gap between two actions moves nothing further than this would
PASSED = 0.03  # of the grasp's range: so near it has been passed


def grasp_channels(rig: Rig, side: str) -> dict[int, tuple[float, float]]:
    """Channels that hold with `side`: index to their values (open, closed)."""
    layout, found = rig.layout, {}
    for index in rig.grasps:
        name, low, high = layout.channels[index], float(layout.lower[index]), float(layout.upper[index])
        if name == f"{side}_gripper":
            found[index] = high, low
        elif name == "hands.squeeze":  # newtons, of both hands
            found[index] = low, high
    return found


class Drive:
    """Holds the action (dim,) of one device."""

    def __init__(self, rig: Rig, share: float) -> None:
        """`share`: of the rig's speeds that a stick pushed to its end asks for."""
        layout = rig.layout
        self._layout, self._share = layout, share
        sides = [hand.removesuffix("_ee") for hand in layout.hands]
        self._position = dict(zip(sides, layout.positions, strict=True))
        self._quat = dict(zip(sides, layout.quats, strict=True))
        self._grasps = {side: grasp_channels(rig, side) for side in ("left", "right")}
        self._index = {name: i for i, name in enumerate(layout.channels)}
        self._action: np.ndarray | None = None
        self._at_ns = 0
        self.release()

    def release(self) -> None:
        """The dead man is open: the next motion begins anew."""
        self._from: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # side: the device's pose and ours when it closed
        self._is_above: dict[int, bool | None] = {}  # grasp: the person asked for more than it had; None: it follows

    def forget(self) -> None:
        """Another device or another world had the robot: only where it is counts."""
        self._action = None
        self.release()

    def move(self, hands: Hands, measured: np.ndarray, now_ns: int) -> np.ndarray:
        """The action (dim,) at `now_ns` of a robot that is at `measured` (dim,)."""
        layout = self._layout
        if self._action is None or not 0 <= now_ns - self._at_ns <= PAUSE_NS:
            self._action, self._at_ns = layout.validated(measured), now_ns
            self.release()
        dt = min((now_ns - self._at_ns) * 1e-9, STEP_S)
        wish = self._action.copy()
        self._twist(wish, hands, measured, dt)
        self._follow(wish, hands, measured)
        for channel, rate in hands.rates.items():
            if (index := self._index.get(channel)) is not None:
                wish[index] += self._share * rate * layout.speed[index] * dt
        self._grasp(wish, hands, dt)
        self._action, _ = layout.step_towards(self._action, layout.validated(wish), dt)
        self._at_ns = now_ns
        return self._action

    def _twist(self, wish: np.ndarray, hands: Hands, measured: np.ndarray, dt: float) -> None:
        """Rates: of several hands they are one motion, which ends for all where it ends for one."""
        twists = {side: twist for side, twist in hands.twists.items() if side in self._position}
        rooms = [self._room(side, measured) for side in twists]
        for side, twist in twists.items():
            part, quat = self._position[side], self._quat[side]
            offset = twist[:3] * self._share * self._layout.speed[part] * dt
            for low, high in rooms:
                offset = np.clip(offset, low, high)
            wish[part] += offset
            turn = rotations.from_rotvec(twist[3:] * self._share * self._layout.speed[quat.start] * dt)
            turned = rotations.multiply(turn, wish[quat])
            if _angle(turned, measured[quat]) < max(LEASH_RAD, _angle(wish[quat], measured[quat])):
                wish[quat] = turned

    def _follow(self, wish: np.ndarray, hands: Hands, measured: np.ndarray) -> None:
        """Poses: ours moves by the same way and the same turn as the device's has since the dead man closed."""
        self._from = {side: start for side, start in self._from.items() if side in hands.poses}
        for side, pose in hands.poses.items():
            if side not in self._position:
                continue
            part, quat = self._position[side], self._quat[side]
            before, ours = self._from.setdefault(side, (pose, np.concatenate([wish[part], wish[quat]])))
            low, high = self._room(side, measured)
            wish[part] += np.clip(ours[:3] + pose[:3] - before[:3] - wish[part], low, high)
            turn = rotations.multiply(pose[3:], rotations.conjugate(before[3:]))
            wish[quat] = rotations.multiply(turn, ours[3:])

    def _room(self, side: str, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(3,) m each, how far the hand may still go down and up; never pushes back."""
        assert self._action is not None
        part = self._position[side]
        lower = np.maximum(self._layout.lower[part], measured[part] - LEASH_M)
        upper = np.minimum(self._layout.upper[part], measured[part] + LEASH_M)
        return np.minimum(lower - self._action[part], 0.0), np.maximum(upper - self._action[part], 0.0)

    def _grasp(self, wish: np.ndarray, hands: Hands, dt: float) -> None:
        for side, rate in hands.closing.items():
            for index, (opened, closed) in self._grasps.get(side, {}).items():
                towards = 1.0 if closed > opened else -1.0
                wish[index] += towards * self._share * rate * self._layout.speed[index] * dt
        closed_by: dict[int, float] = {}
        for side, share in hands.grasps.items():
            for index in self._grasps.get(side, {}):
                closed_by[index] = max(share, closed_by.get(index, 0.0))
        for index, share in closed_by.items():
            opened, closed = next(found[index] for found in self._grasps.values() if index in found)
            target, now = opened + share * (closed - opened), wish[index]
            target, now = float(target), float(now)
            is_above = self._is_above.setdefault(index, target > now)
            near = abs(target - now) < PASSED * abs(closed - opened)
            if is_above is None or near or (target > now) is not is_above:
                self._is_above[index] = None
                wish[index] = target


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """rad between two unit quaternions."""
    return float(np.linalg.norm(rotations.to_rotvec(rotations.multiply(a, rotations.conjugate(b)))))
