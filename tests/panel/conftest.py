"""A stub graph and a real panel beside it, shared by a module's tests; each test begins with the policy in charge."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from stub_graph import RunningStub
from waiting import free_port, wait_for

DOMAIN = "52"
START_S = 120.0  # 3 s on an idle machine; beside other work much longer


@dataclass
class Panel:
    """A teleop_web process."""

    port: int
    process: subprocess.Popen
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def own_domain():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", DOMAIN)
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def run_panel(own_domain, tmp_path_factory):
    """Starts teleop_web with parameters, waits until it serves or has ended."""
    started = []
    folder = tmp_path_factory.mktemp("panel")

    def run(*parameters: str, port: int | None = None, namespace: str = "/g1") -> Panel:
        port = port or free_port()
        log = folder / f"teleop_web{len(started)}.log"
        words = [word for parameter in (f"port:={port}", *parameters) for word in ("-p", parameter)]
        process = subprocess.Popen(
            [sys.executable, "-m", "retake.panel.teleop_web", "--ros-args", "-r", f"__ns:={namespace}", *words],
            stdout=log.open("w"), stderr=subprocess.STDOUT)
        started.append(Panel(port, process, log))
        wait_for(lambda: "panel: http" in log.read_text() or process.poll() is not None, START_S)
        return started[-1]

    yield run
    for panel in started:
        panel.process.terminate()
    for panel in started:
        panel.process.wait(60)


@pytest.fixture(scope="module")
def graph(own_domain):
    running = RunningStub()
    yield running.node
    running.close()


@pytest.fixture(scope="module")
def panel(graph, run_panel, request):
    """A panel that serves; a module may say how patient it is with a silent browser."""
    serving = run_panel(f"silence_s:={getattr(request.module, 'SILENCE_S', 2.0)}")
    assert serving.process.poll() is None, serving.log.read_text()
    return serving


@pytest.fixture
def stub(graph):
    graph.begin()
    return graph
