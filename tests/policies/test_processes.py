"""Several processes train as one does."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policies import train
from policies.checkpoint import load_checkpoint
from policies.processes import Processes
from policies.trainer import TrainConfig, _check

ROOT = Path(__file__).resolve().parents[2]
TRAIN = """
import argparse, sys
from policies import train
parser = argparse.ArgumentParser()
train.add_arguments(parser)
sys.exit(train.run(parser.parse_args()))
"""


def losses(out: Path) -> list[float]:
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [entry["loss"] for entry in entries if "loss" in entry]


def test_shares_cover_every_part_once():
    for count in (1, 2, 3):
        parts = [part for rank in range(count) for part in Processes(rank, count).share(6)]
        assert parts == list(range(6))


@pytest.mark.heavy
def test_two_processes_reach_the_loss_of_one(recordings, tmp_path):
    words = ["--data", str(recordings), "--steps", "8", "--batch-size", "8", "--size", "32x24", "--threads", "1",
             "--validation", "0.25", "--micro-batches", "2"]  # fmt: skip
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    assert train.run(parser.parse_args([*words, "--out", str(tmp_path / "one")])) == 0
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    torchrun = ["torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script)]
    command = [sys.executable, "-m", *torchrun, *words, "--out", str(tmp_path / "two")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("final: held-out loss") == 1  # the first alone speaks
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 8 and one[-1] < one[0]
    np.testing.assert_allclose(two, one, rtol=1e-4)
    weights = [dict(load_checkpoint(tmp_path / name).policy.named_parameters()) for name in ("one", "two")]
    for name, value in weights[0].items():
        np.testing.assert_allclose(value.detach(), weights[1][name].detach(), atol=1e-3)


def test_parts_that_do_not_divide_are_refused():
    for parts, n in ((3, 1), (1, 2), (0, 1)):
        config = TrainConfig(micro_batches=parts)
        with pytest.raises(ValueError, match="allowed: a batch size that is a multiple of the micro-batches"):
            _check(config, n)
    with pytest.raises(ValueError, match="precision 'half'; allowed: float32, bfloat16"):
        _check(TrainConfig(precision="half"), 1)
