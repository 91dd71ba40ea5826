"""A small checkpoint of the G1, a service for it on loopback, and observations with real JPEGs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from controllers.rigs import G1
from policies.act import ActPolicy
from policies.checkpoint import save_checkpoint
from policies.normalise import Normaliser
from policies.observation import Observation
from policies.openpi_server import PolicyService
from policies.policy import PolicyConfig
from policies.policy_choice import choose
from policies.served_policy import ServedPolicy

CHANNELS = tuple(G1.layout.channels)
WIDTH, HEIGHT = 32, 24


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Random weights; what they answer depends on the pictures and on the state."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    values = np.stack([G1.home_action - 0.1, G1.home_action + 0.1])
    statistics = Normaliser.fit(CHANNELS, values)
    config = PolicyConfig(CHANNELS, CHANNELS, ("head", "chest"), WIDTH, HEIGHT)
    path = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(path, ActPolicy(config, statistics, statistics), "g1", "g1_box", {})
    return path


@pytest.fixture(scope="session")
def checkpoint(folder):
    return choose(str(folder))


@pytest.fixture
def serve(checkpoint):
    """Start a service: `serve(token=..., port=...)`; all are ended after the test."""
    services: list[PolicyService] = []

    def start(port: int = 0, token: str = "") -> PolicyService:
        service = PolicyService(ServedPolicy(checkpoint), "127.0.0.1", port, token)
        services.append(service)
        service.start()
        service.is_ready.wait()
        assert service.failure is None, service.failure
        return service

    yield start
    for service in services:
        service.close()


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """Of head and chest, larger than the policy takes them."""
    rng = np.random.default_rng(0)
    return [cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (64, 48)) for _ in range(2)]


@pytest.fixture
def observation(pictures) -> Observation:
    jpegs = tuple(cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes() for picture in pictures)
    return Observation(10**9, jpegs, G1.home_action, 10**9)
