"""The graph of a running robot: which nodes, with which parameters. The only such list.

`retake up` (retake/up.py) and `ros2 launch` (launch/*.launch.py) both start what `make_graph` returns; neither names a
node. Nodes that stand in for hardware are listed here and nowhere else in this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import policies
from controllers.rigs import RIGS, Rig, rig_of
from retake.camera_choice import read_cameras
from retake.errors import UserError

ROBOTS = ("sim",)
TASKS = {"g1": ("g1_box",), "yam": ("arm_pick", "arm_insert"), "bimanual_yam": ("arm_table",)}  # the first: default
ENDLESS = -1  # episodes
NO_POLICY = "none"
Value = bool | int | float | str


@dataclass(frozen=True)
class Argument:
    """One `name:=value` of the command line and of the launch file; the default's type is the argument's type."""

    default: Value
    description: str
    allowed: tuple[str, ...] = ()


ARGUMENTS = {
    "rig": Argument("g1", "which robot", tuple(RIGS)),
    "robot": Argument("sim", "what moves: sim is MuJoCo", ROBOTS),
    "task": Argument("", "what the episodes are about: "
                     + "; ".join(f"{rig} {', '.join(tasks)}" for rig, tasks in TASKS.items())),
    "policy": Argument("", "folder of the checkpoint: model.safetensors and policy.json; by default the task's own, "
                       "if it has one; none: no policy server"),
    "lockstep": Argument(False, "true: physics waits for every node (deterministic); false: real time"),
    "seed": Argument(0, "seed of the first episode; each further one takes the next integer"),
    "episodes": Argument(0, "0: people run the episodes; n: the evaluator runs n and ends the graph; -1: for ever"),
    "cameras": Argument("", "cameras other than the drawn ones: realsense head=SERIAL ...; v4l2 chest=/dev/v4l/... "
                        "...; replay EPISODE"),
    "root": Argument("data/episodes", "folder that receives one folder per recorded episode"),
    "port": Argument(8080, "TCP port of the web panel, on loopback"),
    "headless": Argument(False, "true: no web panel"),
    "result": Argument("build/episodes.json", "file in which the evaluator counts"),
}

MODULES = {
    "g1_sim": "sim.g1_sim",
    "arm_sim": "sim.arm_sim",
    "camera_sim": "sim.camera_sim",
    "camera_realsense": "retake.camera_realsense",
    "camera_v4l2": "retake.camera_v4l2",
    "camera_replay": "retake.camera_replay",
    "evaluator": "sim.evaluator",
    "whole_body_controller": "retake.whole_body_controller",
    "arm_controller": "retake.arm_controller",
    "authority": "retake.authority",
    "policy_server": "retake.policy_server",
    "teleop_web": "retake.teleop_web",
    "recorder": "retake.recorder",
}


@dataclass(frozen=True)
class NodeSpec:
    """One process of the graph.

    `ends_graph`: leaving with exit code 0 ends everything. Any other death of any node is followed by a new start.
    `check`: Python that must run before the graph starts, such as whether a picture can be drawn; raises if not.
    """

    name: str
    rig: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    ends_graph: bool = False
    check: str = ""

    @property
    def namespace(self) -> str:
        """Of the node's topics."""
        return f"/{self.rig}"

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return MODULES[self.name]

    def ros_arguments(self) -> list[str]:
        """What follows `python -m module`."""
        # json writes true, 1, 0.5 and "text" as YAML reads them
        pairs = [("-p", f"{name}:={json.dumps(value)}") for name, value in self.parameters.items()]
        return ["--ros-args", "-r", f"__ns:={self.namespace}", *(word for pair in pairs for word in pair)]


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
    for name, low, high in (("port", 1, 65535), ("seed", 0, 2**31 - 1), ("episodes", ENDLESS, 10**6)):
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


def make_graph(values: Mapping[str, Value]) -> list[NodeSpec]:
    """The nodes for `values` as `read_arguments` returns them, in the order in which they are started."""
    rig = rig_of(str(values["rig"]))
    time: dict[str, Value] = {"use_sim_time": True, "lockstep": values["lockstep"]}
    own: dict[str, Value] = {**time, "robot": rig.name}
    has_policy = values["policy"] != NO_POLICY
    graph = [
        NodeSpec(rig.controller, rig.name, own if rig.arms else time),
        NodeSpec("authority", rig.name, {**own, "policy": has_policy}),
        NodeSpec("recorder", rig.name, {**own, "root": str(Path(str(values["root"])).absolute()),
                                        "task": values["task"],
                                        "judge": "operator" if values["episodes"] == 0 else "evaluator"}),
    ]
    if has_policy:
        checkpoint = str(checkpoint_folder(str(values["policy"])))
        graph.insert(2, NodeSpec("policy_server", rig.name, {**own, "checkpoint": checkpoint}))
    if not values["headless"]:
        graph.append(NodeSpec("teleop_web", rig.name, {
            "use_sim_time": True, "robot": rig.name, "port": values["port"], "visuals": _visuals(rig)}))
    graph += _cameras(values, rig)
    graph += _stand_ins(values, rig, time)
    return graph


def _cameras(values: Mapping[str, Value], rig: Rig) -> list[NodeSpec]:
    """The nodes that publish pictures."""
    choices = read_cameras(str(values["cameras"]), rig.cameras)
    live = [choice.kind for choice in choices if choice.kind != "replay"]
    if choices and (values["lockstep"] or live):
        raise UserError(f"cameras:={values['cameras']} run by this machine's clock, the simulated robot by its own; "
                        "only a replay in real time goes with it: write cameras:='replay EPISODE' lockstep:=false")
    if choices:
        return [NodeSpec(c.node, rig.name, {"use_sim_time": True, **c.parameters}) for c in choices]
    draws = "from sim.gl import offscreen_context; offscreen_context(16, 16).free()"
    own = {"lockstep": values["lockstep"], "task": values["task"]}
    return [NodeSpec("camera_sim", rig.name, own, check=draws)]


def _stand_ins(values: Mapping[str, Value], rig: Rig, time: Mapping[str, Value]) -> list[NodeSpec]:
    """The nodes that take the places of the robot's driver, its cameras and its operator."""
    own = {"lockstep": values["lockstep"]}
    world: dict[str, Value] = {"seed": values["seed"]}
    nodes = [
        NodeSpec("arm_sim", rig.name, {**own, **world, "robot": rig.name, "task": values["task"]}) if rig.arms else
        NodeSpec("g1_sim", rig.name, {**own, **world}),
    ]
    if values["episodes"] != 0:
        counted: dict[str, Value] = {**time, "task": values["task"], "episodes": max(int(values["episodes"]), 0),
                                     "result": str(Path(str(values["result"])).absolute())}
        nodes.append(NodeSpec("evaluator", rig.name, counted, ends_graph=True))
    return nodes


def checkpoint_folder(name: str) -> Path:
    """The folder as named, or else the one of that name that is installed with the package."""
    here, installed = Path(name).absolute(), Path(policies.__file__).resolve().parents[1] / name
    return here if here.exists() or not installed.exists() else installed


def held_out_seed() -> int:
    """Seeds from here on belong to evaluation; nothing was trained on them."""
    from sim.tasks import HELD_OUT_SEED  # here: it brings the physics engine with it

    return HELD_OUT_SEED


def _visuals(rig: Rig) -> str:
    """Folder of the robot's meshes for the panel; makes it on the very first start (about 2 s)."""
    from sim.assets import g1_visuals, yam_visuals  # here: only a graph that draws needs it

    return str((yam_visuals() if rig.arms else g1_visuals()).folder)
