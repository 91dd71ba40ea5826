"""Our server with openpi's own client, and with clients that are none."""

import pickle
import subprocess
import sys
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from controllers.rigs import G1
from policies.openpi_server import MAX_CLIENTS
from policies.openpi_wire import MAX_BYTES, pack, unpack

TOKEN = "a token of enough length"
STATE = "observation/state"


def asked(pictures, **others) -> dict:
    return {STATE: G1.home_action, "observation/images/head": pictures[0], "observation/images/chest": pictures[1],
            **others}  # fmt: skip


def expected(checkpoint, pictures) -> np.ndarray:
    small = [cv2.resize(picture, (32, 24), interpolation=cv2.INTER_AREA) for picture in pictures]
    return checkpoint.policy.predict(small, G1.home_action, seed=0)  # ACT has no noise


@pytest.fixture
def openpi():
    return pytest.importorskip("openpi_client.websocket_client_policy").WebsocketClientPolicy


def test_openpis_client_gets_what_the_policy_says(serve, openpi, pictures, checkpoint):
    client = openpi("127.0.0.1", serve().port)
    said = client.get_server_metadata()
    assert (said["robot"], said["task"], said["policy_sha256"]) == ("g1", "g1_box", checkpoint.sha256)
    assert said["action_channels"] == said["state_channels"] == list(G1.layout.channels)
    assert said["image_keys"] == {name: f"observation/images/{name}" for name in ("head", "chest")}
    assert (said["image_size"], said["action_horizon"], said["action_dim"]) == ([24, 32], 24, 17)
    assert said["chunk_dt_s"] == 0.066 and said["state_key"] == STATE
    layouts = [
        asked(pictures, prompt="lift the box"),
        {"state": G1.home_action, "images": {"head": pictures[0].transpose(2, 0, 1), "chest": pictures[1]}},
        {"observation.state": G1.home_action, "observation.images.head": pictures[0],
         "observation.images.chest": pictures[1]},
    ]  # fmt: skip
    for layout in layouts:
        answer = client.infer(layout)
        np.testing.assert_array_equal(answer["actions"], expected(checkpoint, pictures))
        assert answer["server_timing"]["infer_ms"] > 0.0


@pytest.mark.parametrize(("wrong", "says"), [
    ({STATE: np.full(17, np.nan)}, "not finite: left_ee.x"), ({STATE: np.zeros(16)}, r"float64 \(16,\); allowed"),
    ({STATE: [0.0] * 17}, "is list; allowed"), ({"observation/images/head": None}, "images/head is NoneType"),
    ({"observation/images/head": np.zeros((48, 64, 3))}, "uint8 RGB"),
    ({"observation/images/head": np.zeros((48, 48, 3), np.uint8)}, "images/head: a 48x48 picture for a policy that"),
    ({"observation/images/head": np.zeros((12, 16, 3), np.uint8)}, "images/head: a 16x12 picture"),
    ({"observation/images/wrist": np.zeros((48, 64, 3), np.uint8)}, "images/wrist too many; allowed: exactly"),
    ({"observation.state": np.zeros(17)}, "observation/state twice"), ({"prompt": 1}, "prompt is int"),
])  # fmt: skip
def test_refuses_an_observation_by_name_and_goes_on(serve, openpi, pictures, wrong, says):
    service = serve()
    client = openpi("127.0.0.1", service.port)
    with pytest.raises(RuntimeError, match=says):
        client.infer(asked(pictures, **wrong))
    assert client.infer(asked(pictures))["actions"].shape == (24, 17)
    assert (service.n_answered, service.n_refused) == (1, 1)


def test_one_camera_missing(serve, openpi, pictures):
    observation = asked(pictures)
    del observation["observation/images/chest"]
    with pytest.raises(RuntimeError, match="lacks observation/images/chest and has nothing too many"):
        openpi("127.0.0.1", serve().port).infer(observation)


TORN = pack({"a": np.zeros(3)})[:-2]


@pytest.mark.parametrize("garbage", [pickle.dumps({"a": 1}), b"", b"\xff" * 100, TORN, "hello"])
def test_garbage_is_named_and_ends_the_connection_only(serve, openpi, pictures, garbage):
    service = serve()
    with connect(f"ws://127.0.0.1:{service.port}") as socket:
        socket.recv()
        socket.send(garbage)
        assert "allowed" in socket.recv()
        with pytest.raises(ConnectionClosedError, match="1008"):
            socket.recv()
    assert openpi("127.0.0.1", service.port).infer(asked(pictures))["actions"].shape == (24, 17)


def test_a_hundred_megabytes_are_refused_by_name(serve, openpi, pictures):
    service = serve()
    with connect(f"ws://127.0.0.1:{service.port}", max_size=None, compression=None) as socket:
        socket.recv()
        with pytest.raises(ConnectionClosedError, match=f"100000000 bytes exceeds limit of {MAX_BYTES} bytes"):
            socket.send(bytes(100_000_000))
            socket.recv()
    assert openpi("127.0.0.1", service.port).infer(asked(pictures))["actions"].shape == (24, 17)


def test_the_token(serve, openpi, pictures):
    service = serve(token=TOKEN)
    for key in (None, "another token of enough length"):
        with pytest.raises(InvalidStatus, match="401"):
            openpi("127.0.0.1", service.port, api_key=key)
    assert openpi("127.0.0.1", service.port, api_key=TOKEN).infer(asked(pictures))["actions"].shape == (24, 17)
    with connect(f"ws://127.0.0.1:{service.port}", additional_headers={"Authorization": f"Bearer {TOKEN}"}) as socket:
        assert unpack(socket.recv())["robot"] == "g1"


def test_there_is_room_for_eight(serve, openpi, pictures):
    service = serve()
    clients = [openpi("127.0.0.1", service.port) for _ in range(MAX_CLIENTS)]
    with pytest.raises(InvalidStatus, match="503"):
        openpi("127.0.0.1", service.port)
    for client in clients:
        assert client.infer(asked(pictures))["actions"].shape == (24, 17)


def test_health_and_a_page_of_a_browser(serve):
    port = serve(token=TOKEN).port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
        assert (answer.status, answer.read()) == (200, b"OK\n")
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{serve().port}", origin="http://evil.example")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/")


def test_the_command(folder, openpi, pictures):
    command = [sys.executable, "-m", "retake.cli", "serve", f"policy:={folder}", "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline()
            assert "g1_box for g1" in said and "ws://127.0.0.1:" in said
            client = openpi("127.0.0.1", int(said.rsplit(":", 1)[1]))
            assert client.infer(asked(pictures))["actions"].shape == (24, 17)
        finally:
            process.terminate()
        assert "1 answered, 0 refused" in process.stdout.read()
    assert process.returncode == 0


@pytest.mark.parametrize(("words", "says"), [
    (["policy:=nowhere"], "nowhere is no checkpoint; allowed"), (["policy:=ws://here:1"], "is no folder"),
    (["policy:=FOLDER", "--host", "0.0.0.0"], "lets other machines in: give a token"),
    (["policy:=FOLDER", "--host", "0.0.0.0", "--token", "short"], "at least 16 characters"),
    (["robot:=g1"], "no argument robot"), (["policy:=FOLDER", "--port", "99999"], "allowed: 0 to 65535"),
])  # fmt: skip
def test_the_command_refuses(words, says, folder, capsys):
    from retake.cli import main

    assert main(["serve", *(word.replace("FOLDER", str(folder)) for word in words)]) == 2
    assert says in capsys.readouterr().err
