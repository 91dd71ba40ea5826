"""What a graph can be asked for, by `retake up` and by the launch files: `name:=value`, read and refused alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controllers.rigs import RIGS
from policies.policy_words import NO_POLICY, checkpoint_folder
from retake.errors import UserError

ROBOTS = ("sim", "sim-wire", "hardware")
BODIES = ("own", "stock")
TASKS = {"g1": ("g1_box",), "yam": ("arm_pick", "arm_pick_tight", "arm_insert"), "bimanual_yam": ("arm_table",),
         "panda": ("arm_table",)}  # the first: default
ENDLESS = -1  # episodes
Value = bool | int | float | str


@dataclass(frozen=True)
class Argument:
    """One `name:=value` of the command line and of the launch file; the default's type is the argument's type."""

    default: Value
    description: str
    allowed: tuple[str, ...] = ()


ARGUMENTS = {
    "rig": Argument("g1", "which robot", tuple(RIGS)),
    "robot": Argument("sim", "what moves: sim is MuJoCo; sim-wire is MuJoCo at the end of the robot's own cable, "
                      "behind its driver; hardware is the machine", ROBOTS),
    "interface": Argument("", "hardware: network interface of the cable to the robot"),
    "dds_domain": Argument(-1, "DDS domain of the robot's own wire; -1: 0 of the machine, 1 of sim-wire"),
    "body": Argument("own", "G1 through its driver: own moves all joints; stock leaves legs to the firmware", BODIES),
    "can": Argument("can0", "hardware: CAN bus of each arm, comma-separated, left first"),
    "leader": Argument("", "CAN bus of each leader arm, comma-separated, left first; none: no leader arms"),
    "devices": Argument("", "teleoperation devices beside the panel: joy, spacemouse, pose, webxr, comma-separated, "
                        "each with its parameters: devices:='joy, webxr host=0.0.0.0'"),
    "states": Argument("/joint_states", "hardware, arms with a ROS 2 driver of their own: its states"),
    "commands": Argument("/joint_trajectory_controller/joint_trajectory", "the same: what it obeys"),
    "commands_as": Argument("trajectory", "the same: what kind of message it obeys", ("trajectory", "positions")),
    "release": Argument(False, "hardware, body:=own: end the firmware's motion service; the robot goes limp"),
    "task": Argument("", "what the episodes are about: "
                     + "; ".join(f"{rig} {', '.join(tasks)}" for rig, tasks in TASKS.items())),
    "policy": Argument("", "folder of the checkpoint: model.safetensors and policy.json; by default the task's own, "
                       "if it has one; lerobot:FOLDER: LeRobot's; package.module:Class: your own; ws://HOST:PORT: an "
                       "openpi policy server; none: no policy server"),
    "execution": Argument("auto", "how chunks follow each other; auto: as the policy is made for",
                          ("auto", "realtime_chunking", "temporal_ensembling", "latest")),
    "reload": Argument(False, "true: a checkpoint written into the policy's folder takes over between episodes"),
    "rerank": Argument(1, "so many chunks are drawn, of which the critic chooses one; 1: the policy as it is"),
    "critic": Argument("", "folder of `retake train-value`, for rerank:=2 and more"),
    "residual": Argument("", "folder of a run of `retake learn`, whose residual corrects policy:=, which it was learnt "
                         "on; residual/off switches it off"),
    "explore": Argument(False, "true: the residual acts with its noise, so that its learner sees something new"),
    "channels": Argument("", "policy:=lerobot:...: its names that differ from the robot's: OURS=THEIRS ..."),
    "remote": Argument("", "policy:=ws://...: what its server does not say itself: state=KEY images=CAMERA:KEY,... "
                       "size=WIDTHxHEIGHT dt_ms=NUMBER prompt='...' answer_s=NUMBER"),
    "lockstep": Argument(False, "true: physics waits for every node (deterministic); false: real time"),
    "seed": Argument(0, "seed of the first episode; each further one takes the next integer"),
    "episodes": Argument(0, "0: people run the episodes; n: the evaluator runs n and ends the graph; -1: for ever"),
    "cameras": Argument("", "cameras other than the drawn ones: realsense head=SERIAL ...; v4l2 chest=/dev/v4l/... "
                        "...; replay EPISODE"),
    "rac": Argument(False, "true: an episode ends after an intervention, nothing is handed back within it (RaC)"),
    "root": Argument("data/episodes", "folder that receives one folder per recorded episode"),
    "port": Argument(8080, "TCP port of the web panel, on loopback"),
    "headless": Argument(False, "true: no web panel"),
    "result": Argument("build/episodes.json", "file in which the evaluator counts"),
}

def read_arguments(words: Mapping[str, str | Value]) -> dict[str, Value]:
    """All arguments, from those given by name as text or value.

    Raises:
        UserError: an unknown name, a value of the wrong type, or one that is not allowed.
    """
    unknown = sorted(set(words) - set(ARGUMENTS))
    if unknown:
        raise UserError(f"no argument {', '.join(unknown)}; allowed: {', '.join(ARGUMENTS)}; write name:=value")
    values = {name: _read(name, words[name]) if name in words else argument.default
              for name, argument in ARGUMENTS.items()}
    allowed = TASKS[str(values["rig"])]
    values["task"] = values["task"] or allowed[0]
    if values["task"] not in allowed:
        raise UserError(f"unknown task {values['task']!r}; allowed for rig:={values['rig']}: {', '.join(allowed)}; "
                        f"write task:={allowed[0]}")
    values["policy"] = values["policy"] or _own_policy(str(values["task"]))
    for name, low, high in (("port", 1, 65535), ("seed", 0, 2**31 - 1), ("episodes", ENDLESS, 10**6),
                            ("dds_domain", -1, 232), ("rerank", 1, 64)):
        if not low <= int(values[name]) <= high:
            raise UserError(f"{name}:={values[name]} is out of range; allowed: {low} to {high}; choose another")
    return values


def _read(name: str, word: str | Value) -> Value:
    argument = ARGUMENTS[name]
    text = str(word)
    if argument.allowed and text not in argument.allowed:
        allowed = ", ".join(argument.allowed)
        raise UserError(f"unknown {name} {text!r}; allowed: {allowed}; write {name}:={argument.default}")
    if isinstance(argument.default, bool):
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UserError(f"{name}:={text} is no truth value; allowed: true, false; write {name}:=true")
    if isinstance(argument.default, int):
        try:
            return int(text)
        except ValueError:
            raise UserError(f"{name}:={text} is no whole number; write {name}:={argument.default}") from None
    return text


def as_text(value: Value) -> str:
    """A value as it is written after `name:=`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _own_policy(task: str) -> str:
    """The checkpoint that comes with this package for a task, or `none`."""
    name = f"policies/checkpoints/{task}"
    return name if checkpoint_folder(name).is_dir() else NO_POLICY
