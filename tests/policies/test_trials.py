"""The same figures for the graph and for one process."""

from policies.trials import trial_figures, trial_rows


def episode(seed: int, why: str, time_s: float, **more) -> dict:
    outcome = "success" if why == "success" else "failure"
    return {"seed": seed, "outcome": outcome, "why": why, "time_s": time_s, "wall_s": 2.0, **more}


def test_counts_and_times():
    made = [episode(0, "success", 4.0, interventions=1), episode(1, "success", 6.0), episode(2, "fallen", 2.0)]
    figures = trial_figures(made)
    assert (figures["trials"], figures["successes"], figures["falls"], figures["interventions"]) == (3, 2, 1, 1)
    assert figures["time_to_success_s"] == {"median": 5.0, "p90": 5.8} and figures["real_time_factor"] == 2.0
    assert trial_rows(figures) == {"success, Wilson 95 %": "2/3 = 66.7 % [20.8, 93.9]",
                                   "time to success, median": "5.0 s", "falls": "1", "interventions": "1"}


def test_nothing_succeeds_and_nothing_is_there():
    assert trial_rows(trial_figures([episode(0, "timeout", 9.0)]))["time to success, median"] == "–"
    assert trial_figures([])["rate"] == 0.0
