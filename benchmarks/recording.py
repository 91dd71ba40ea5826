"""The recorder under load: ten minutes of three cameras and 500 Hz states, and a hundred times kill -9."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, JointState
from std_srvs.srv import Trigger

from benchmarks.camera_source import pictures
from benchmarks.wire import _on_cpu_s
from controllers.rigs import BIMANUAL_YAM as RIG
from policies.episode_file import is_unfinished, read_messages, read_meta, repair
from retake.ros import qos, realtime
from retake.ros.wire import _HEADER, _STAMP, JointStateCodec

BUILD = Path("build/bench/recording")
DOMAIN = 75
SECONDS, KILLS = 600.0, 100
STATE_HZ, CAMERA_HZ = 500, 30
STATES = ("joint_states", "joint_command", "applied_joint_command")
PATIENCE_S = 60.0
SEED = 5


class Source(Node):
    """Publishes states and pictures of a bimanual rig as bytes, and counts them."""

    def __init__(self, context: rclpy.Context) -> None:
        super().__init__("source", namespace=f"/{RIG.name}", context=context)
        self.codec = JointStateCodec(RIG.joint_names)
        self._states = {name: self.create_publisher(JointState, name, qos.SEND) for name in STATES}
        self._images = {name: self.create_publisher(CompressedImage, f"camera/{name}/color/image_raw/compressed",
                                                    qos.SEND) for name in RIG.cameras}
        quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
        jpegs = [cv2.imencode(".jpg", picture, quality)[1].tobytes() for picture in pictures()]
        self._jpegs = [bytearray(serialize_message(CompressedImage(format="jpeg", data=jpeg))) for jpeg in jpegs]
        self._asked = {name: self.create_client(Trigger, f"episode/{name}") for name in ("start", "success")}
        self._spinner = SingleThreadedExecutor(context=context)
        self._spinner.add_node(self)
        self.sent: Counter[str] = Counter()
        self.last_ns = 0

    def wait(self) -> None:
        """Until a recorder listens to everything."""
        end = time.monotonic() + PATIENCE_S
        while any(p.get_subscription_count() == 0 for p in (*self._states.values(), *self._images.values())):
            if time.monotonic() > end:
                raise TimeoutError("the recorder does not subscribe")
            time.sleep(0.02)

    def ask(self, name: str) -> None:
        """A service of the recorder; it must say yes."""
        client = self._asked[name]
        if not client.wait_for_service(PATIENCE_S):
            raise TimeoutError(f"episode/{name} is not offered")
        future = client.call_async(Trigger.Request())
        self._spinner.spin_until_future_complete(future, timeout_sec=PATIENCE_S)
        if not future.done() or not future.result().success:
            raise RuntimeError(f"episode/{name}: {future.result().message if future.done() else 'no answer'}")

    def run(self, seconds: float) -> None:
        """Publish for so long, in real time."""
        begin, values = time.monotonic(), np.zeros(len(RIG.joint_names))
        for k in range(round(seconds * STATE_HZ)):
            time.sleep(max(0.0, begin + k / STATE_HZ - time.monotonic()))
            self.last_ns = time.time_ns()
            values[:] = k
            data = self.codec.encode(self.last_ns, values, values, values)
            for name, publisher in self._states.items():
                publisher.publish(data)
                self.sent[name] += 1
            if k * CAMERA_HZ // STATE_HZ != (k - 1) * CAMERA_HZ // STATE_HZ:
                for i, (name, publisher) in enumerate(self._images.items()):
                    jpeg = self._jpegs[(k + i) % len(self._jpegs)]
                    _STAMP.pack_into(jpeg, _HEADER, *divmod(self.last_ns, 10**9))
                    publisher.publish(bytes(jpeg))
                    self.sent[f"camera/{name}/color/image_raw/compressed"] += 1


@contextmanager
def _source() -> Iterator[Source]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Source(context)
    realtime.prefer(node, realtime.CAMERA)  # the robot and its cameras are not what is measured
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def _recorder(root: Path) -> subprocess.Popen:
    environment = os.environ | {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
                                "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "retake.recording.recorder", "--ros-args", "-r",
                             f"__ns:=/{RIG.name}", "-p", f"root:={root}", "-p", f"robot:={RIG.name}"], env=environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def load(seconds: float = SECONDS) -> dict[str, dict[str, Any]]:
    """One episode of ten minutes: what is missing in it, and what the recorder costs."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    root = _fresh(BUILD / "load")
    with _source() as source:
        process = _recorder(root)
        source.wait()
        source.ask("start")
        source.run(5.0)
        begin_mb, cpu_s, began = _resident_mb(process.pid), _on_cpu_s(process.pid), time.monotonic()
        source.run(seconds)
        share = (_on_cpu_s(process.pid) - cpu_s) / (time.monotonic() - began)
        end_mb = _resident_mb(process.pid)
        time.sleep(0.5)
        source.ask("success")
        sent = dict(source.sent)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    (folder,) = [path for path in root.iterdir() if path.is_dir()]
    meta = read_meta(folder)
    lost = {name: count - meta["messages"].get(f"/{RIG.name}/{name}", 0) for name, count in sent.items()}
    size = sum(path.stat().st_size for path in folder.iterdir())
    shutil.rmtree(root)
    memory = {"begin_mb": round(begin_mb, 1), "end_mb": round(end_mb, 1)}
    return {"record_lost": {"value": sum(lost.values()), "peer": None, "sent": sum(sent.values()), "by_topic": lost,
                            "said_lost": meta.get("lost", {}), "mb_per_s": round(size / 1e6 / (seconds + 5.0), 2)},
            "record_cpu": {"value": share, "peer": None, **memory, "seconds": seconds}}


def kills(count: int = KILLS) -> dict[str, dict[str, Any]]:
    """Kill the recorder at random moments; the next one repairs, and nothing else changes."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    root, rng = _fresh(BUILD / "kills"), np.random.default_rng(SEED)
    worst_s, hashes, changed = 0.0, dict[Path, str](), 0
    for _ in range(count):
        process = _recorder(root)
        with _source() as source:
            source.wait()
            changed += _changed(root, hashes)
            source.ask("start")
            source.run(float(rng.uniform(0.3, 2.0)))
            process.kill()
            process.wait()
            (open_one,) = [path for path in root.iterdir() if path.is_dir() and is_unfinished(path)]
            topic = f"/{RIG.name}/joint_states"
            newest = max((m.publish_ns for m in read_messages(open_one / "episode.mcap", (topic,))), default=0)
            worst_s = max(worst_s, (source.last_ns - newest) / 1e9)
    process = _recorder(root)
    with _source() as source:
        source.wait()
    process.send_signal(signal.SIGINT)
    process.wait(30)
    changed += _changed(root, hashes)
    folders = [path for path in root.iterdir() if path.is_dir()]
    unrepaired = sum(is_unfinished(path) or repair(path)["ended_ns"] is None for path in folders)
    shutil.rmtree(root)
    return {"kill9_worst_loss_s": {"value": worst_s, "peer": None, "kills": count},
            "kill9_unrepaired": {"value": unrepaired + changed, "peer": None, "episodes": len(folders),
                                 "changed": changed}}


def _changed(root: Path, hashes: dict[Path, str]) -> int:
    """How many finished files are not what they were, or are missing; new ones are remembered."""
    changed = sum(not path.exists() for path in hashes)
    for path in sorted(root.glob("*/*")):
        if is_unfinished(path.parent):
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        changed += hashes.setdefault(path, digest) != digest
    return changed


def _fresh(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
