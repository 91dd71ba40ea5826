"""What a figure is, and the list of all of them. Each is measured by one function; several may come from one run."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

COMPARE = {"at most": operator.le, "at least": operator.ge, "exactly": operator.eq}


@dataclass(frozen=True)
class Figure:
    """A number with a goal. `bound` is compared as `how` says ("at most", "at least", "exactly")."""

    key: str
    what: str
    how: str
    bound: float
    unit: str
    measure: Callable[[], dict[str, dict[str, Any]]]  # from key to {value, peer, ...}; one call may fill several keys

    def met(self, value: float) -> bool:
        """True when the value reaches the goal."""
        return bool(COMPARE[self.how](value, self.bound))


def all_figures() -> tuple[Figure, ...]:
    """Every figure of `make bench`, quick ones first."""
    from benchmarks import (
        arm,
        cameras,
        controller,
        environment,
        export,
        graph,
        handover,
        latency,
        onestep,
        policies,
        recording,
        remote,
        training,
        wire,
    )  # fmt: skip

    return (
        Figure("wbc_step_vs_mink", "whole-body step / mink.solve_ik, same G1, same tasks", "at most", 1.0, "x",
               controller.whole_body_step),
        Figure("wbc_step_vs_floor", "whole-body step / Pinocchio terms + 59-variable QP alone", "at most", 1.5, "x",
               controller.whole_body_step),
        Figure("arm_step_vs_mink", "arm controller step / mink.solve_ik, same arm, same tasks", "at most", 0.7, "x",
               arm.step),
        Figure("arm_pick_expert_success", "scripted expert of arm_pick, 100 held-out seeds", "at least", 0.98, "",
               arm.pick_expert),
        Figure("arm_insert_expert_success", "scripted expert of arm_insert, 100 held-out seeds", "at least", 0.90, "",
               arm.insert_expert),
        Figure("g1_wire_codec_vs_idl", "LowState decode, LowCmd encode, CRC / the same through cyclonedds dataclasses",
               "at most", 0.05, "x", wire.codec),
        Figure("g1_driver_cpu", "g1_driver at 500 Hz between a robot and the whole-body controller", "at most", 0.20,
               "of a core", wire.driver),
        Figure("g1_wire_age_p99_ms", "the same: state leaves the robot -> its command leaves the driver", "at most",
               4.0, "ms", wire.driver),
        Figure("env_rtf", "one-process environment without cameras", "at least", 5.0, "x real time", environment.speed),
        Figure("export_roundtrip_errors", "episodes -> LeRobot v3 -> episodes: values and pictures that differ",
               "exactly", 0, "", export.figures),
        Figure("export_frames_per_s", "the same: camera frames of 640x480 exported, reading included", "at least", 60,
               "frames/s", export.figures),
        Figure("websocket_p99_ms", "openpi client -> retake serve -> chunk, 2 cameras 224x224, without the inference",
               "at most", 8.0, "ms", remote.round_trip),
        Figure("takeover_latency_p99_ms", "take over -> first human-commanded joint motion", "at most", 60.0, "ms",
               graph.takeover_latency),
        Figure("handover_velocity_ratio", "200 switches, G1 and arm: peak commanded joint speed near them / in "
               "undisturbed motion", "at most", 1.2, "x", handover.measure),
        Figure("handover_acceleration_ratio", "the same: acceleration", "at most", 1.2, "x", handover.measure),
        Figure("handover_frames_lost", "the same: recorded messages lost", "exactly", 0, "", handover.measure),
        Figure("rewind_path_error_m", "rewinding, G1 and arm: largest distance of a hand from the path it took",
               "at most", 0.01, "m", handover.measure),
        Figure("rewind_return_error_m", "the same: distance from the start of the path at the end", "at most", 0.015,
               "m", handover.measure),
        Figure("kill9_worst_loss_s", "100 times kill -9 of the recorder: the most that one lost", "at most", 0.5, "s",
               recording.kills),
        Figure("kill9_unrepaired", "the same: files not repaired, and others that changed", "exactly", 0, "",
               recording.kills),
        Figure("camera_lost", "3 cameras of 640x480 at 30 Hz for 60 s: frames that do not arrive", "exactly", 0, "",
               cameras.streams),
        Figure("camera_age_p99_ms", "the same: device takes a frame -> subscriber has it", "at most", 40.0, "ms",
               cameras.streams),
        Figure("onestep_speedup", "latency of the diffusion policy as served / of its one-step student, pictures to "
               "actions", "at least", 4.0, "x", onestep.speed),
        Figure("train_cache_speedup", "an epoch of pictures decoded from video / from the frame cache", "at least", 3.0,
               "x", training.cache_speedup),
        Figure("train_speed_vs_lerobot", "LeRobot's ACT network and dataset, batch 8: steps/s of retake train / of "
               "lerobot-train", "at least", 1.0, "x", training.speed_vs_lerobot),
        Figure("arm_pick_act_success", "ACT on arm_pick from pictures, 100 held-out seeds", "at least", 0.85, "",
               policies.act),
        Figure("arm_pick_diffusion_success", "diffusion on the same", "at least", 0.85, "", policies.diffusion),
        Figure("arm_pick_flow_success", "flow matching on the same", "at least", 0.85, "", policies.flow),
        Figure("g1_box_best_success", "the best policy of g1_box, 100 held-out seeds", "at least", 0.90, "",
               policies.g1_box_best),
        Figure("onestep_success_gap", "one-step policy behind its teacher on arm_pick, same 100 seeds", "at most", 5.0,
               "points", policies.onestep),
        Figure("retry_inside_interval", "success with up to 3 tries: the predicted one is inside its 95 % interval",
               "exactly", 1, "", policies.retry),
        Figure("latency_ticks_without_reference", "50, 150, 300 ms of added inference delay: control ticks without a "
               "valid reference while moving", "exactly", 0, "", latency.figures),
        Figure("latency_150ms_success_drop", "the same: success lost at 150 ms", "at most", 5.0, "points",
               latency.figures),
        Figure("chunk_boundary_acceleration_ratio", "reference's acceleration near switches of chunks / elsewhere",
               "at most", 1.3, "x", latency.figures),
        Figure("g1_box_expert_success", "scripted expert, 100 held-out seeds", "at least", 0.95, "",
               environment.expert),
        Figure("g1_box_policy_success", "trained policy, 50 held-out seeds, full graph in lockstep", "at least", 0.80,
               "", graph.policy),
        Figure("lockstep_rtf", "full graph in lockstep with cameras at 15 Hz", "at least", 1.0, "x real time",
               graph.policy),
        Figure("record_lost", "3 cameras of 640x480 at 30 Hz and 500 Hz states for 10 min: messages not recorded",
               "exactly", 0, "", recording.load),
        Figure("record_cpu", "the same: the recorder's processor time", "at most", 0.6, "of a core", recording.load),
        Figure("sim_wire_success_gap", "g1_box success, robot:=sim-wire beside robot:=sim, same 50 seeds", "at most",
               5.0, "points", wire.success_gap),
        Figure("falls", "falls in all of the above", "exactly", 0, "", graph.policy),
    )  # fmt: skip
