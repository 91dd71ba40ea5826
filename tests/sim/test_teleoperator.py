"""The scripted person: sees late, does one thing after the other, knows some tasks."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.rigs import YAM
from sim.progress import Eye, Progress, eye_of
from sim.teleoperator import NEXT_S, REACTION_S, Sight, Teleoperator, Trouble

TICK_S = YAM.reference_dt
EYE = Eye(
    lambda task, measured: task(measured), closer_m=0.001, farther_m=0.02, patience_s=1.0, back_m=0.05, aim_m=0.002,
    rewinds=True,
)


def test_trouble_is_going_the_wrong_way_or_nowhere():
    trouble = Trouble(EYE, Progress(0, 0.1), 0.0)
    assert trouble.watch(Progress(0, 0.05), 0.5) == 0.0
    assert trouble.watch(Progress(0, 0.06), 1.0) == 0.0 and trouble.well_s == 0.5
    assert trouble.watch(Progress(0, 0.08), 1.2) == 0.0 and trouble.watch(Progress(0, 0.08), 1.5) == pytest.approx(0.3)
    assert trouble.watch(Progress(0, 0.05), 1.4) == 0.0, "back again before anybody took over"
    assert trouble.watch(Progress(1, 0.5), 1.6) == 0.0, "a further stage is nearer, whatever its way"
    assert trouble.watch(Progress(1, 0.5), 2.5) == 0.0 and trouble.watch(Progress(1, 0.5), 2.7) == 0.0
    assert trouble.watch(Progress(1, 0.5), 2.9) == pytest.approx(0.2), "nothing happens"
    assert trouble.watch(Progress(0, 0.0), 3.0) > 0.0, "it has lost what it held"


class Hands:
    """Of a person, and what they did."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float]] = []
        self.now_s = 0.0

    def ask(self, service: str) -> bool:
        self.done.append((service, self.now_s))
        return True

    def stream(self, action: np.ndarray) -> None:
        self.done.append(("stream", self.now_s))

    def hold(self, speed: float) -> None:
        self.done.append(("hold", self.now_s))


class Standing:
    """An expert with nothing to do."""

    is_clear = True

    def __init__(self, task, start, seed) -> None:
        self._start = start

    def act(self, measured, dt):
        return self._start


def played(style: str, path: np.ndarray, stages: np.ndarray) -> Hands:
    """A person who sees a robot whose hand goes along path (n,) m of x, in stages (n,), a tick each."""
    pose, at = YAM.home_action.copy(), {}
    person, hands = Teleoperator(style, YAM, EYE, Standing), Hands()
    person.begin(0)
    for k, (x, stage) in enumerate(zip(path, stages, strict=True)):
        measured = pose.copy()
        measured[0], hands.now_s = 0.3 + x, k * TICK_S
        at = Progress(int(stage), 0.3 - x if stage == 0 else 0.0)
        person.act(hands, Sight(hands.now_s, measured, measured, ""), lambda _, at=at: at)
    return hands


@pytest.mark.parametrize("style", ["rac", "hg-dagger"])
def test_a_person_is_late_and_does_one_thing_after_the_other(style):
    way = ((0.0, 0.2, 50), (0.2, 0.1, 50), (0.1, 0.1, 20), (0.1, 0.2, 30), (0.2, 0.1, 30), (0.1, 0.1, 120))
    path = np.concatenate([np.linspace(*part) for part in way])  # there, wrong, with the person there again and before
    stages = np.repeat([0, 1], [len(path) - 80, 80])
    done = played(style, path, stages).done
    wrong_s = TICK_S * (50 + EYE.farther_m / 0.002)
    names = [name for name, _ in done]
    first = dict(reversed(done))
    assert REACTION_S[0] - 2 * TICK_S <= first["take_over"] - wrong_s <= REACTION_S[1] + 2 * TICK_S
    assert first["stream"] - first["take_over"] >= NEXT_S - 1e-9
    if style == "rac":
        assert names.count("take_over") == 2 and "rewind" in names and names.count("hold") > 5
        assert "hand_back" not in names
    else:
        assert "rewind" not in names and names[1] == "correct" and names[-1] == "hand_back"


def test_nobody_helps_in_a_task_that_nobody_knows():
    with pytest.raises(ValueError, match="does not know arm_table; allowed: arm_pick, .*g1_box"):
        eye_of("arm_table")
    with pytest.raises(ValueError, match="style 'sarcasm'; allowed: rac, hg-dagger"):
        Teleoperator("sarcasm", YAM, EYE, Standing)
