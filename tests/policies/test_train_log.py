"""What a run leaves to look at: the log, TensorBoard files, evaluations on the way."""

import json
import struct
import sys

import pytest

from policies import train_log
from policies.train_evaluation import FIRST_SEED, EvaluationError, evaluation
from policies.train_log import TrainLog


def scalars(folder) -> dict[tuple[str, int], float]:
    """What TensorBoard would show: later files replace, records are length, checksum, event, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
            at += 16 + size
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
    return found


def test_steps_and_measurements_are_shown(tmp_path):
    log = TrainLog(tmp_path, 0)
    log.step(1, 0.5, learning_rate=0.25)
    log.note(1, "validation", {"loss": 0.75})
    log.close()
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        {"step": 1, "loss": 0.5},
        {"step": 1, "validation": {"loss": 0.75}},
    ]
    shown = scalars(tmp_path / "tensorboard")
    assert shown == {("loss", 1): 0.5, ("learning_rate", 1): 0.25, ("validation/loss", 1): 0.75}


def test_without_tensorboard_the_log_is_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(train_log, "find_spec", lambda name: None)
    log = TrainLog(tmp_path, 0)
    log.step(1, 0.5)
    log.close()
    assert not log.has_board and (tmp_path / "log.jsonl").is_file() and not (tmp_path / "tensorboard").exists()


def test_an_evaluation_is_a_process_of_its_own(tmp_path):
    script = tmp_path / "eval.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "words = sys.argv[1:]\n"
        "if words[1] == '0': sys.exit('retake eval: nothing to run')\n"
        "out = pathlib.Path(words[5]); out.mkdir(parents=True)\n"
        "figures = {'rate': int(words[1]) / 10, 'low': 0.1, 'high': 0.9, 'falls': 0, 'seed': int(words[3])}\n"
        "(out / 'eval.json').write_text(json.dumps({'policies': [figures]}))\n"
    )
    command = (sys.executable, str(script))
    assert evaluation(tmp_path, 3, 12, command) == {"success": 0.3, "low": 0.1, "high": 0.9, "falls": 0}
    stored = json.loads((tmp_path / "evaluation/0000012/eval.json").read_text())
    assert stored["policies"][0]["seed"] == FIRST_SEED > 100_000
    with pytest.raises(EvaluationError, match="retake eval: nothing to run; try: .*eval.py --episodes 0"):
        evaluation(tmp_path, 0, 13, command)
