"""The G1's own wire: the codec beside cyclonedds' dataclasses, the driver's processor time and ages, and what the wire
costs in success."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from cyclonedds._clayer import ddspy_take
from cyclonedds.core import InstanceState, SampleState, ViewState
from rclpy.experimental import EventsExecutor
from sensor_msgs.msg import JointState

from controllers import g1
from retake.doctor.machine import stolen_s
from retake.ros import qos
from retake.ros.wire import JointStateCodec
from retake.unitree import idl, wire
from retake.unitree.dds import LOOPBACK, Bus

BUILD = Path("build/bench")
ROS_DOMAIN, DDS_DOMAIN = "79", 49  # of this bench's own
ROUNDS = 300
SETTLE_S, CPU_S, AGE_S = 12.0, 10.0, 10.0
LOOK_S = 0.02  # the readers hold six times as much
SEEDS = 50
_ANY = SampleState.Any | ViewState.Any | InstanceState.Any
_HG_LOW_CMD = struct.Struct("<2B2x" + "B3x5fI" * wire.SLOTS + "5I")  # the C struct, as Unitree's SDK packs it


def codec() -> dict[str, dict[str, Any]]:
    """LowState decode, LowCmd encode, its CRC; ours checks the state's CRC besides."""
    calls = _our_codec(), _dataclass_codec()
    times = np.zeros((2, ROUNDS))
    for k in range(-10, ROUNDS):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if k >= 0:
                times[i, k] = (time.perf_counter() - start) * 1e6
    ours_us, theirs_us = np.median(times, axis=1)
    return {"g1_wire_codec_vs_idl": {"value": float(ours_us / theirs_us), "ours_us": round(float(ours_us), 1),
                                     "peer": f"dataclasses and plain CRC {theirs_us:.0f} µs"}}


def _our_codec() -> Callable[[], object]:
    encoder, data = wire.command_encoder(), wire.state_encoder().encode()
    joints, imu, rows = np.empty((3, g1.NUM_JOINTS)), np.empty(10), np.ones((5, g1.NUM_JOINTS))

    def call() -> bytes:
        wire.read_state(data, joints, imu)
        rows[0] = joints[0]
        return encoder.encode_setpoints(rows)

    return call


def _dataclass_codec() -> Callable[[], object]:
    """The same through cyclonedds' dataclasses, and a CRC as Unitree's SDK has it in Python."""
    data = wire.state_encoder().encode()
    motors = [idl.MotorCmd_(1, 0.0, 1.0, 1.0, 1.0, 1.0, 0) for _ in range(wire.SLOTS)]
    command = idl.LowCmd_(0, 5, motors, [0] * 4, 0)

    def call() -> bytes:
        state = idl.LowState_.deserialize(data)
        for i in range(g1.NUM_JOINTS):
            command.motor_cmd[i].q = state.motor_state[i].q
        command.crc = _plain_crc(command)
        return command.serialize()

    return call


def _plain_crc(command: idl.LowCmd_) -> int:
    values: list[Any] = [command.mode_pr, command.mode_machine]
    for motor in command.motor_cmd:
        values += (motor.mode, motor.q, motor.dq, motor.tau, motor.kp, motor.kd, motor.reserve)
    data = _HG_LOW_CMD.pack(*values, *command.reserve, command.crc)
    crc = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", data[:-4]):
        bit = 1 << 31
        for _ in range(32):
            crc = (crc << 1 ^ wire.POLYNOMIAL if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
            if word & bit:
                crc ^= wire.POLYNOMIAL
            bit >>= 1
    return crc


def driver() -> dict[str, dict[str, Any]]:
    """The driver between a robot on loopback and the whole-body controller, all real: its share of a core, then how
    long after a state was sent the command that answers it was sent, both by the senders' DDS stamps."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with _graph() as pid:
        time.sleep(SETTLE_S)
        cpu, began, stolen = _on_cpu_s(pid), time.monotonic(), stolen_s()
        time.sleep(CPU_S)
        seconds = time.monotonic() - began
        share = (_on_cpu_s(pid) - cpu) / seconds
        stolen = (stolen_s() - stolen) / seconds / (os.cpu_count() or 1)
        observed = _observe()
    ages_ms = _matched_ms(*observed)
    if len(ages_ms) < 100 * AGE_S:
        raise RuntimeError(f"only {len(ages_ms)} commands in {AGE_S} s; see the logs in {BUILD}")
    p50, p99 = np.percentile(ages_ms, [50, 99])
    detail = {"p50_ms": float(p50), "worst_ms": float(ages_ms.max()), "commands": len(ages_ms)}
    return {"g1_driver_cpu": {"value": share, "peer": None, "stolen": round(stolen, 4)},
            "g1_wire_age_p99_ms": {"value": float(p99), "peer": None, **detail}}


@contextmanager
def _graph() -> Iterator[int]:
    """Robot, driver and controller as processes; yields the driver's process id."""
    wire_parameters = ["-p", f"dds_domain:={DDS_DOMAIN}"]
    nodes = {
        "retake.control.whole_body_controller": [],
        "sim.g1_wire": [*wire_parameters, "-p", "crew:=true"],
        "retake.g1.driver": [*wire_parameters, "-p", "interface:=lo", "-p", "release:=true", "-p", "patience_s:=60.0"],
    }
    environment = os.environ | {"ROS_DOMAIN_ID": ROS_DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
                                "OMP_NUM_THREADS": "1"}
    processes = []
    try:
        for module, parameters in nodes.items():
            command = [sys.executable, "-m", module, "--ros-args", "-r", "__ns:=/g1", *parameters]
            with (BUILD / f"{module}.log").open("w") as log:
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
        yield processes[-1].pid
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _on_cpu_s(pid: int) -> float:
    """Processor time of all threads of a process, s; the kernel's own clock, not its ticks."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


Samples = list[tuple[int, bytes]]  # DDS stamp of the sender in ns, serialised message


def _observe() -> tuple[Samples, Samples, dict[str, list[bytes]]]:
    """States and commands on the wire, and joint_states and joint_command on ROS, for AGE_S."""
    bus = Bus(DDS_DOMAIN, LOOPBACK)
    states, commands = bus.reader("rt/lowstate", idl.LowState_, 64), bus.reader("rt/lowcmd", idl.LowCmd_, 64)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(ROS_DOMAIN))
    node = rclpy.create_node("wire_bench", namespace="g1", context=context)
    executor = EventsExecutor(context=context)
    executor.add_node(node)
    heard: dict[str, list[bytes]] = {"joint_states": [], "joint_command": []}
    for topic, messages in heard.items():
        node.create_subscription(JointState, topic, messages.append, qos.RECORD, raw=True)
    sent: Samples = []
    answers: Samples = []
    end, look_s = time.monotonic() + AGE_S, 0.0
    while (now_s := time.monotonic()) < end:
        executor.spin_once(timeout_sec=LOOK_S)
        if now_s < look_s:
            continue
        look_s = now_s + LOOK_S
        for reader, taken in ((states, sent), (commands, answers)):
            samples = ddspy_take(reader._reference, _ANY, 64)
            taken += [(info.source_timestamp, data) for data, info in samples if info.valid_data]
    node.destroy_node()
    rclpy.try_shutdown(context=context)
    return sent, answers, heard


def _matched_ms(sent: Samples, answers: Samples, heard: dict[str, list[bytes]]) -> np.ndarray:
    """(n,) ms from the DDS stamp of each state to that of the command that answers it.

    Nothing on the wire says which state a command answers, but content does: joint_states has the numbers of a LowState
    and its stamp, joint_command that stamp and set-points, LowCmd those set-points.
    """
    codec = JointStateCodec(g1.JOINT_NAMES)
    n = g1.NUM_JOINTS
    at: dict[bytes, int] = {}  # from a state's numbers to its DDS stamp
    for stamp, data in sent:
        motors = wire.decode_state(data)["motor"][:n]
        at[np.float32([motors["q"], motors["dq"], motors["tau_est"]]).tobytes()] = stamp
    state_at: dict[int, int] = {}  # from a ROS stamp to the DDS stamp of its LowState
    for data in heard["joint_states"]:
        stamp, q, dq, tau, _ = codec.decode(data)
        if (found := at.get(np.float32([q, dq, tau]).tobytes())) is not None:
            state_at[stamp] = found
    answered: dict[bytes, int] = {}  # from set-points to the ROS stamp they answer
    for data in heard["joint_command"]:
        stamp, q, dq, tau, _ = codec.decode(data)
        q, tau = np.clip(q, g1.Q_LOWER, g1.Q_UPPER), np.clip(tau, -g1.TAU_MAX, g1.TAU_MAX)
        answered[np.float32([q, dq, tau]).tobytes()] = stamp
    ages = []
    for stamp, data in answers:
        motors = wire.decode_command(data)["motor"][:n]
        key = np.float32([motors["q"], motors["dq"], motors["tau"]]).tobytes()
        if (ros_stamp := answered.get(key)) in state_at:
            ages.append((stamp - state_at[ros_stamp]) / 1e6)
    return np.array(ages)


def success_gap(seeds: int = SEEDS) -> dict[str, dict[str, Any]]:
    """The trained policy on the same held-out seeds, through the robot's own wire and without it, in real time; points
    of success rate between the two."""
    rates = {robot: _evaluated(robot, seeds) for robot in ("sim", "sim-wire")}
    gap = abs(rates["sim"]["rate"] - rates["sim-wire"]["rate"])
    return {
        "sim_wire_success_gap": {
            "value": 100 * gap, "peer": f"sim {rates['sim']['successes']}/{seeds}",
            "sim_wire": f"{rates['sim-wire']['successes']}/{seeds}", "why": rates["sim-wire"]["why"],
        },
        "falls": {"value": sum(figures["falls"] for figures in rates.values())},
    }  # fmt: skip


def _evaluated(robot: str, seeds: int) -> dict[str, Any]:
    BUILD.mkdir(parents=True, exist_ok=True)
    out = BUILD / f"eval_{robot}.json"
    arguments = [f"robot:={robot}", "lockstep:=false", f"episodes:={seeds}", f"root:={BUILD / 'wire_episodes'}",
                 f"result:={BUILD / 'wire_episodes.json'}", f"dds_domain:={DDS_DOMAIN}"]
    environment = os.environ | {"ROS_DOMAIN_ID": ROS_DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    command = [sys.executable, "-m", "retake.cli", "eval", "--out", str(out), *arguments]
    subprocess.run(command, check=True, env=environment)
    return json.loads(out.read_text())
