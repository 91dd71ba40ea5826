"""The graph of a running robot: which nodes, with which parameters. The only such list.

`retake up` (retake/up.py) and `ros2 launch` (launch/*.launch.py) both start what `make_graph` returns; neither names a
node. Nodes that stand in for hardware are listed here and nowhere else in this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controllers.rigs import Rig, rig_of
from policies.policy_words import NO_POLICY, checkpoint_folder, is_folder, is_remote, whole
from retake.arguments import ARGUMENTS, ENDLESS, TASKS, Argument, Value, as_text, read_arguments
from retake.cameras.choice import read_cameras
from retake.errors import UserError
from retake.policy.remote_choice import check_address, read_remote
from retake.teleop.choice import read_devices

__all__ = ["ARGUMENTS", "ENDLESS", "MODULES", "NO_POLICY", "TASKS", "Argument", "NodeSpec", "Value", "as_text",
           "checkpoint_folder", "held_out_seed", "make_graph", "owns_clock", "read_arguments"]

MODULES = {
    "g1_sim": "sim.g1_sim",
    "g1_wire": "sim.g1_wire",
    "g1_driver": "retake.g1.driver",
    "arm_sim": "sim.arm_sim",
    "arm_wire": "sim.arm_wire",
    "arm_driver": "retake.arms.driver",
    "ros2_arm_driver": "retake.arms.ros2_driver",
    "leader_arm": "retake.teleop.leader_arm",
    "camera_sim": "sim.camera_sim",
    "camera_realsense": "retake.cameras.realsense",
    "camera_v4l2": "retake.cameras.v4l2",
    "camera_replay": "retake.cameras.replay",
    "evaluator": "sim.evaluator",
    "whole_body_controller": "retake.control.whole_body_controller",
    "arm_controller": "retake.control.arm_controller",
    "authority": "retake.control.authority",
    "policy_server": "retake.policy.policy_server",
    "residual": "retake.policy.residual",
    "remote_policy": "retake.policy.remote_policy",
    "teleop_web": "retake.panel.teleop_web",
    "teleop_joy": "retake.teleop.joy",
    "teleop_spacemouse": "retake.teleop.spacemouse_driver",
    "teleop_pose": "retake.teleop.pose",
    "teleop_webxr": "retake.teleop.webxr",
    "teleop_keyboard": "retake.teleop.keyboard",
    "recorder": "retake.recording.recorder",
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


def make_graph(values: Mapping[str, Value]) -> list[NodeSpec]:
    """The nodes for `values` as `read_arguments` returns them, in the order in which they are started."""
    rig = rig_of(str(values["rig"]))
    _check_clock(values, rig)
    time: dict[str, Value] = {"use_sim_time": owns_clock(values["robot"]), "lockstep": values["lockstep"]}
    own: dict[str, Value] = {**time, "robot": rig.name}
    has_policy = values["policy"] != NO_POLICY
    graph = [
        NodeSpec(rig.controller, rig.name, own if rig.arms else time),
        NodeSpec("authority", rig.name, {**own, "policy": has_policy, "residual": bool(values["residual"]),
                                         "rac": values["rac"]}),
        NodeSpec("recorder", rig.name, {**own, "root": str(Path(str(values["root"])).absolute()),
                                        "task": values["task"],
                                        "judge": "operator" if values["episodes"] == 0 else "evaluator"}),
    ]
    if values["remote"] and not is_remote(str(values["policy"])):
        raise UserError("remote:= is about a server; write policy:=ws://HOST:PORT beside it, or leave it out")
    if has_policy:
        graph.insert(2, _policy(values, rig, own))
    if values["residual"]:
        graph.insert(3, _residual(values, rig, own))
    if not values["headless"]:
        graph.append(NodeSpec("teleop_web", rig.name, {
            "use_sim_time": time["use_sim_time"], "robot": rig.name, "port": values["port"],
            "residual": bool(values["residual"]), "visuals": _visuals(rig)}))
    if values["leader"]:
        graph.append(NodeSpec("leader_arm", rig.name, {"use_sim_time": time["use_sim_time"], "robot": rig.name,
                                                       "can": values["leader"]}))
    for device in read_devices(str(values["devices"])):
        graph.append(NodeSpec(device.node, rig.name, {"use_sim_time": time["use_sim_time"], "robot": rig.name,
                                                      **device.told}))
    return [*graph, *_cameras(values, rig), *_robot(values, rig), *_operator(values, rig, time)]


def _policy(values: Mapping[str, Value], rig: Rig, own: Mapping[str, Value]) -> NodeSpec:
    """The node that answers observations, or that asks a server elsewhere to."""
    policy = str(values["policy"])
    if not is_remote(policy):
        told = {name: values[name] for name in ("execution", "reload", "rerank", "critic", "channels")}
        if told["critic"]:
            told["critic"] = str(Path(str(told["critic"])).absolute())
        loads = ("from policies.policy_choice import Reranking, choose; choose("
                 f"{policy!r}, None, {told['channels']!r}, Reranking({told['rerank']!r}, {told['critic']!r}))")
        is_plain = is_folder(policy) and told["rerank"] == 1  # preflight looks at its files
        return NodeSpec("policy_server", rig.name, {**own, **told, "policy": whole(policy)},
                        check="" if is_plain else loads)
    check_address(policy)
    if values["lockstep"]:
        raise UserError(f"{policy} answers when it answers, lockstep waits for nothing that may not come; write "
                        "lockstep:=false, or policy:=FOLDER")
    asked = {**read_remote(str(values["remote"])), "address": policy}
    return NodeSpec("remote_policy", rig.name, {"use_sim_time": own["use_sim_time"], "robot": rig.name, **asked})


def _residual(values: Mapping[str, Value], rig: Rig, own: Mapping[str, Value]) -> NodeSpec:
    """The node that corrects the policy as it was learnt."""
    policy = str(values["policy"])
    if not is_folder(policy):
        raise UserError(f"residual:={values['residual']} corrects a checkpoint of ours; write policy:=FOLDER, the one "
                        "that it was learnt on, or leave it out")
    told = {"residual": whole(str(values["residual"])), "policy": whole(policy), "explore": values["explore"]}
    loads = ("from retake.policy.residual import Parameters, chosen; "
             f"chosen(Parameters({told['residual']!r}, {told['policy']!r}, {rig.name!r}))")
    return NodeSpec("residual", rig.name, {**own, **told}, check=loads)


def owns_clock(robot: Value) -> bool:
    """The robot's time is its own, may slip and wait; the others live by the wall's clock."""
    return robot == "sim"


def _check_clock(values: Mapping[str, Value], rig: Rig) -> None:
    """Refuse what this robot cannot do."""
    robot = values["robot"]
    if values["lockstep"] and not owns_clock(robot):
        raise UserError(f"robot:={robot} does not wait for anybody; allowed with lockstep: sim; write lockstep:=false")
    if robot == "hardware" and values["episodes"] != 0:
        raise UserError("nobody judges episodes on the machine but people; write episodes:=0")


def _cameras(values: Mapping[str, Value], rig: Rig) -> list[NodeSpec]:
    """The nodes that publish pictures."""
    choices = read_cameras(str(values["cameras"]), rig.cameras)
    live = [choice.kind for choice in choices if choice.kind != "replay"]
    has_own_clock = owns_clock(values["robot"])
    if choices and has_own_clock and (values["lockstep"] or live):
        raise UserError(f"cameras:={values['cameras']} run by this machine's clock, the simulated robot by its own; "
                        "only a replay in real time goes with it: write cameras:='replay EPISODE' lockstep:=false")
    if choices:
        return [NodeSpec(c.node, rig.name, {"use_sim_time": has_own_clock, **c.parameters}) for c in choices]
    if values["robot"] == "hardware":
        if values["policy"] != NO_POLICY:
            raise UserError(f"the policy {values['policy']} needs cameras; write cameras:='realsense head=SERIAL ...', "
                            "or policy:=none")
        return []
    draws = "from sim.gl import offscreen_context; offscreen_context(16, 16).free()"
    own = {"lockstep": values["lockstep"], "task": values["task"]}
    return [NodeSpec("camera_sim", rig.name, own, check=draws)]


def _robot(values: Mapping[str, Value], rig: Rig) -> list[NodeSpec]:
    """The robot's driver, or what stands in for it or for the robot at the other end of its cable."""
    world: dict[str, Value] = {"seed": values["seed"]}
    if rig.arms:
        return _arms(values, rig, world)
    if values["robot"] == "sim":
        return [NodeSpec("g1_sim", rig.name, {"lockstep": values["lockstep"], **world})]
    is_machine, given = values["robot"] == "hardware", int(values["dds_domain"])
    wire: dict[str, Value] = {"dds_domain": given if given >= 0 else int(not is_machine)}
    body: dict[str, Value] = {**wire, "body": values["body"]}
    if is_machine:
        return [NodeSpec("g1_driver", rig.name, {**body, "interface": values["interface"],
                                                 "release": values["release"]})]
    return [NodeSpec("g1_wire", rig.name, {**wire, **world, "crew": True}),
            NodeSpec("g1_driver", rig.name, {**body, "interface": "lo", "release": True, "patience_s": 60.0,
                                             "ramp_s": 1.0})]


def _arms(values: Mapping[str, Value], rig: Rig, world: Mapping[str, Value]) -> list[NodeSpec]:
    """The arms' driver, or what stands in for it or for the arms at the other end of their cables."""
    own: dict[str, Value] = {"robot": rig.name, "task": values["task"]}
    if rig.arms is not None and rig.arms.description.model != "i2rt_yam":
        if values["robot"] != "hardware":
            raise UserError(f"rig:={rig.name} has no robot:={values['robot']}; allowed: hardware, behind the arm's own "
                            "ROS 2 driver")
        topics = {name: values[name] for name in ("states", "commands", "commands_as")}
        return [NodeSpec("ros2_arm_driver", rig.name, {"robot": rig.name, **topics})]
    if values["robot"] == "sim":
        return [NodeSpec("arm_sim", rig.name, {**own, **world, "lockstep": values["lockstep"]})]
    if values["robot"] == "hardware":
        return [NodeSpec("arm_driver", rig.name, {"robot": rig.name, "can": values["can"]})]
    from sim.arm_wire import MULTICAST  # here: only this graph needs it

    buses = ",".join(MULTICAST.split(",")[: len(rig.arms.mounts) if rig.arms else 0])
    wire: dict[str, Value] = {"interface": "udp_multicast", "can": buses}
    return [NodeSpec("arm_wire", rig.name, {**own, **world, **wire}),
            NodeSpec("arm_driver", rig.name, {"robot": rig.name, "patience_s": 60.0, **wire})]


def _operator(values: Mapping[str, Value], rig: Rig, time: Mapping[str, Value]) -> list[NodeSpec]:
    """Who runs the episodes, when people do not."""
    if values["episodes"] == 0:
        return []
    counted: dict[str, Value] = {**time, "task": values["task"], "episodes": max(int(values["episodes"]), 0),
                                 "result": str(Path(str(values["result"])).absolute())}
    return [NodeSpec("evaluator", rig.name, counted, ends_graph=True)]


def held_out_seed() -> int:
    """Seeds from here on belong to evaluation; nothing was trained on them."""
    from sim.tasks import HELD_OUT_SEED  # here: it brings the physics engine with it

    return HELD_OUT_SEED


def _visuals(rig: Rig) -> str:
    """Folder of the robot's meshes for the panel; makes it on the very first start (about 2 s)."""
    from sim.assets import g1_visuals, yam_visuals  # here: only a graph that draws needs it

    if rig.arms is None:
        return str(g1_visuals().folder)
    return str(yam_visuals().folder) if rig.arms.description.model == "i2rt_yam" else ""
