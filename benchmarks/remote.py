"""`retake serve` and openpi's own client on loopback: the round trip of an observation, without the inference.

Beside it a server that reads and writes with openpi's codec, in its loop, and has no policy: the floor.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from retake.doctor.machine import stolen_s

BUILD = Path("build/bench")
ROUNDS, WARM_UPS = 1000, 20
SIZE, CAMERAS = 224, ("head", "chest")
LOWEST_MS = 0.05  # two copies of 300 kB through the kernel; less would be no round trip


def round_trip() -> dict[str, dict[str, Any]]:
    """1000 observations of two cameras of 224x224, one after the other; p99 of round trip minus `infer_ms`."""
    folder = _checkpoint()
    serve = ["-m", "retake.cli", "serve", f"policy:={folder}", "--port", "0", "--threads", "1"]
    state = np.zeros(len(_channels()))
    began, stolen = time.monotonic(), stolen_s()
    with _server(serve) as port, _server(["-m", "benchmarks.remote"]) as floor_port:
        ours_ms, infer_ms = _ask(port, state)
        floor_ms, _ = _ask(floor_port, state)
    stolen = (stolen_s() - stolen) / (time.monotonic() - began) / (os.cpu_count() or 1)
    p50, p99 = np.percentile(ours_ms, [50, 99])
    if p50 < LOWEST_MS:
        raise RuntimeError(f"a round trip of {p50:.3f} ms cannot be; look at infer_ms of the server")
    return {
        "websocket_p99_ms": {
            "value": float(p99), "p50_ms": float(p50), "worst_ms": float(ours_ms.max()), "rounds": ROUNDS,
            "infer_p50_ms": float(np.median(infer_ms)), "stolen": round(stolen, 4),
            "peer": f"openpi's codec without a policy {np.percentile(floor_ms, 99):.1f} ms "
                    f"(p50 {np.median(floor_ms):.1f})",
        }
    }  # fmt: skip


def _ask(port: int, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) ms of each round trip without the inference, (n,) ms of the inference."""
    from openpi_client.websocket_client_policy import WebsocketClientPolicy  # here: only this figure needs it

    client = WebsocketClientPolicy("127.0.0.1", port)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8) for _ in range(4)]
    times = np.zeros((2, ROUNDS))
    for k in range(-WARM_UPS, ROUNDS):
        observation = {"observation/state": state.copy()} | {
            f"observation/images/{camera}": pictures[(k + i) % 4] for i, camera in enumerate(CAMERAS)
        }
        start = time.perf_counter()
        answer = client.infer(observation)
        total_ms, infer_ms = 1e3 * (time.perf_counter() - start), answer["server_timing"]["infer_ms"]
        if k >= 0:
            times[:, k] = total_ms - infer_ms, infer_ms
    return times[0], times[1]


def _checkpoint() -> Path:
    """Random weights for two cameras; what they answer does not matter here."""
    from policies.act import ActPolicy
    from policies.checkpoint import save_checkpoint
    from policies.normalise import Normaliser
    from policies.policy import PolicyConfig

    channels = _channels()
    statistics = Normaliser(channels, np.zeros(len(channels)), np.ones(len(channels)))
    config = PolicyConfig(channels, channels, CAMERAS, width=96, height=96)
    folder = BUILD / "remote_checkpoint"
    save_checkpoint(folder, ActPolicy(config, statistics, statistics), "g1", "g1_box", {})
    return folder


def _channels() -> tuple[str, ...]:
    from controllers.rigs import G1

    return tuple(G1.layout.channels)


@contextmanager
def _server(words: list[str]) -> Iterator[int]:
    """A process that prints its address when it is warm; yields the port."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if "ws://" not in line:
            raise RuntimeError(f"no server: {line or 'see above'}")
        yield int(line.rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.communicate(timeout=10)


async def _floor() -> None:
    """A policy server of the fewest words: openpi's codec in the connection's loop, the same answer to everything."""
    from openpi_client import msgpack_numpy
    from websockets.asyncio.server import ServerConnection, serve

    actions = np.zeros((24, 17))

    async def talk(socket: ServerConnection) -> None:
        await socket.send(msgpack_numpy.packb({}))
        async for data in socket:
            msgpack_numpy.unpackb(data)
            await socket.send(msgpack_numpy.packb({"actions": actions, "server_timing": {"infer_ms": 0.0}}))

    async with serve(talk, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_floor())
