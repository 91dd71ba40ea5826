"""The client beside real servers on loopback: ours, one as openpi's, and ones that go wrong in every way.

Whatever happens there is no chunk of it, the reason is said, and the client is back as soon as the server is.
"""

import asyncio
import ssl
import subprocess
from dataclasses import replace
from functools import partial
from queue import SimpleQueue

import cv2
import numpy as np
import pytest
from relay import OddServer, Relay, wait_until

from controllers.rigs import G1
from policies.openpi_wire import pack, unpack
from policies.remote_policy import Patience, RemotePolicy
from policies.remote_terms import Robot, agree, describe
from policies.remote_told import Told

ROBOT = Robot("g1", tuple(G1.layout.channels), G1.cameras)
TOLD = Told("state", {"head": "cam_high"}, (24, 32), 0.05)
TOKEN = "a token of enough length"
CALM = Patience(connect_s=30.0, answer_s=30.0, pong_s=30.0)  # a busy machine is not what the tests are about
ACTIONS = np.linspace(0, 1, 10 * 17).reshape(10, 17).astype(np.float32)


@pytest.fixture
def ask():
    """`ask(port)` makes a client with its answers and what it became ready with; all are ended after the test."""
    clients: list[RemotePolicy] = []

    def start(port: int, token: str = "", told: Told | None = None, patience: Patience | None = None,
              where: str = "ws://127.0.0.1"):
        answers, ready, address = SimpleQueue(), SimpleQueue(), f"{where}:{port}"
        terms_of = partial(agree, robot=ROBOT, told=told or Told(), address=address)
        client = RemotePolicy(address, token, terms_of, G1.home_action, ready.put, answers.put, patience or CALM)
        clients.append(client)
        return client, answers, ready

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def odd():
    """`odd(talk)` starts a server that does so with each connection."""
    servers: list[OddServer] = []

    def start(talk, tls=None) -> OddServer:
        servers.append(OddServer(talk, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def cable(serve):
    """A relay to our server."""
    relay = Relay(serve().port)
    yield relay
    relay.close()


def submit(client, observation) -> None:
    client.submit(observation, ("head", "chest")[: len(observation.jpegs)])


async def openpi_like(socket, answer=lambda n, observation: pack({"actions": ACTIONS})) -> None:
    """As openpi's server: metadata that say nothing, then an answer for each observation."""
    await socket.send(pack({}))
    n = 0
    async for data in socket:
        n += 1
        await socket.send(answer(n, unpack(data)))


def test_what_our_server_answers_is_what_the_policy_says(serve, ask, observation, checkpoint):
    client, answers, ready = ask(serve(token=TOKEN).port, TOKEN)
    assert ready.get(timeout=60).name == checkpoint.sha256[:16] and client.trouble == ""
    submit(client, observation)
    done = answers.get(timeout=60)
    pictures = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)[..., ::-1] for jpeg in observation.jpegs]
    pictures = [cv2.resize(picture, (32, 24), interpolation=cv2.INTER_AREA) for picture in pictures]
    assert done.refusal == "" and done.observation is observation
    np.testing.assert_array_equal(done.chunk, checkpoint.policy.predict(pictures, observation.state, seed=0))


def test_an_openpi_server(odd, ask, observation):
    seen = SimpleQueue()
    server = odd(partial(openpi_like, answer=lambda n, o: (seen.put(o), pack({"actions": ACTIONS}))[1]))
    client, answers, ready = ask(server.port, told=replace(TOLD, prompt="lift"))
    assert ready.get(timeout=60).horizon == 0
    submit(client, replace(observation, jpegs=observation.jpegs[:1]))
    np.testing.assert_array_equal(answers.get(timeout=60).chunk, ACTIONS)
    said = [seen.get(timeout=60) for _ in range(3)][-1]  # two to warm it up
    assert set(said) == {"state", "cam_high", "prompt"} and said["cam_high"].shape == (24, 32, 3)


def test_nothing_is_asked_before_the_server_is_warm(odd, ask, observation):
    begun, go_on = SimpleQueue(), asyncio.Event()

    async def slow_first(socket):
        await socket.send(pack({}))
        async for _ in socket:
            begun.put(asyncio.get_running_loop())
            await go_on.wait()
            await socket.send(pack({"actions": ACTIONS}))

    client, answers, ready = ask(odd(slow_first).port, told=TOLD)
    loop = begun.get(timeout=60)
    submit(client, replace(observation, jpegs=observation.jpegs[:1]))
    assert client.terms is None and ready.empty() and answers.empty() and "warms up" in client.trouble
    loop.call_soon_threadsafe(go_on.set)
    ready.get(timeout=60)
    assert answers.empty(), "what was seen before it was ready is not asked about"


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_half_open_connection(cable, ask, observation, is_asked):
    client, answers, ready = ask(cable.port, patience=Patience())
    ready.get(timeout=60)
    cable.cut()
    if is_asked:
        submit(client, observation)
        done = answers.get(timeout=60)
        assert done.chunk is None and "within" in done.refusal
    wait_until(lambda: client.terms is None, "the silence is noticed")
    wait_until(lambda: "within" in client.trouble or "handshake" in client.trouble, "the reason")
    cable.mend()
    ready.get(timeout=60)
    submit(client, observation)
    assert answers.get(timeout=60).chunk is not None and client.n_connections == 2


def test_silence_is_noticed_within_two_seconds():
    patience = Patience()
    assert patience.answer_s < 2.0 and patience.ping_s + patience.pong_s < 2.0


def test_a_server_that_takes_nothing(odd, ask, observation):
    """It answered twice and then does not even read: a large observation fills the socket."""
    reads = asyncio.Event()

    async def deaf(socket):
        await socket.send(pack({}))
        for _ in range(2):
            await socket.recv()
            await socket.send(pack({"actions": ACTIONS}))
        socket.transport.pause_reading()
        await reads.wait()

    told = replace(TOLD, image_size=(1500, 2000))
    large = cv2.imencode(".jpg", np.zeros((1500, 2000, 3), np.uint8))[1].tobytes()
    client, answers, ready = ask(odd(deaf).port, told=told, patience=Patience())
    ready.get(timeout=60)
    submit(client, replace(observation, jpegs=(large,)))
    assert answers.get(timeout=60).chunk is None
    wait_until(lambda: client.terms is None, "the silence is noticed")


def test_the_server_is_started_again(serve, ask, observation):
    service = serve()
    client, answers, ready = ask(service.port)
    ready.get(timeout=60)
    service.close()
    wait_until(lambda: client.terms is None, "the end is noticed")
    submit(client, observation)  # nobody is there: dropped
    wait_until(lambda: "refused" in client.trouble or "Connect call failed" in client.trouble, "the reason")
    serve(port=service.port)
    ready.get(timeout=60)
    assert answers.empty() and client.trouble == ""
    submit(client, observation)
    assert answers.get(timeout=60).chunk is not None


@pytest.mark.parametrize(("third", "says"), [
    ("Traceback (most recent call last):\n  File\nValueError: no such key\n", "the server says: ValueError: no such"),
    (pack({"actions": ACTIONS[:, :7]}), "actions are (10, 7)"), (pack({"actions": ACTIONS * np.nan}), "not finite"),
    ("\x1b[2J\x07wiped", "?[2J?wiped"), (pack({"action": ACTIONS}), "no array of floats"),
    (pack([1, 2]), "no array of floats"),
])  # fmt: skip
def test_an_answer_that_is_refused(odd, ask, observation, third, says):
    server = odd(partial(openpi_like, answer=lambda n, _: third if n == 3 else pack({"actions": ACTIONS})))
    client, answers, ready = ask(server.port, told=TOLD)
    ready.get(timeout=60)
    seen = replace(observation, jpegs=observation.jpegs[:1])
    submit(client, seen)
    done = answers.get(timeout=60)
    assert done.chunk is None and says in done.refusal
    submit(client, seen)
    assert answers.get(timeout=60).chunk is not None and client.n_connections == 1


@pytest.mark.parametrize("garbage", [b"\x80\x04code.", pack({"actions": ACTIONS})[:-5], bytes(17 * 2**20)])
def test_garbage_ends_the_connection(odd, ask, observation, garbage):
    server = odd(partial(openpi_like, answer=lambda n, _: garbage if n == 3 else pack({"actions": ACTIONS})))
    client, answers, ready = ask(server.port, told=TOLD)
    ready.get(timeout=60)
    submit(client, replace(observation, jpegs=observation.jpegs[:1]))
    assert answers.get(timeout=60).chunk is None
    ready.get(timeout=60)
    assert client.n_connections == 2


def test_words_out_of_turn_are_no_answer(odd, ask, observation):
    """Two answers for one observation: the second one would be taken for the answer to the next."""

    async def twice(socket):
        await socket.send(pack({}))
        n = 0
        async for _ in socket:
            n += 1
            for _ in range(2 if n == 3 else 1):
                await socket.send(pack({"actions": ACTIONS * n}))

    client, answers, ready = ask(odd(twice).port, told=TOLD)
    ready.get(timeout=60)
    submit(client, replace(observation, jpegs=observation.jpegs[:1]))
    np.testing.assert_array_equal(answers.get(timeout=60).chunk, ACTIONS * 3)
    ready.get(timeout=60)
    assert client.n_connections == 2 and answers.empty()


@pytest.mark.parametrize(("first", "says"), [
    (pack({"robot": "yam"}), "says robot 'yam'"), (pack({}), "does not say state_key"), ("no policy", "no policy"),
    (b"\xff\xff", "no message"), (bytes(100_000_000), "exceeds limit"), (pack({"protocol": "retake/9"}), "speaks"),
])  # fmt: skip
def test_metadata_that_are_refused(odd, ask, first, says):
    async def talk(socket):
        await socket.send(first)
        await socket.wait_closed()

    client, _, ready = ask(odd(talk).port)
    wait_until(lambda: says in client.trouble, says)
    assert client.terms is None and ready.empty()


def test_another_image_size_is_refused_by_name(odd, ask, checkpoint, observation):
    said = describe(checkpoint) | {"image_size": [48, 48], "action_horizon": 10}

    async def square(socket):
        await socket.send(pack(said))
        async for _ in socket:
            await socket.send(pack({"actions": ACTIONS}))

    client, answers, ready = ask(odd(square).port)
    ready.get(timeout=60)
    submit(client, observation)
    assert "a 64x48 picture for a policy that takes 48x48" in answers.get(timeout=60).refusal


def test_a_wrong_token_and_no_policy_server_at_all(serve, odd, ask):
    client, _, _ = ask(serve(token=TOKEN).port, "another token of enough length")
    wait_until(lambda: "HTTP 401 the token is missing or wrong" in client.trouble, "refused by name")

    async def silent(socket):
        await socket.wait_closed()

    client, _, _ = ask(odd(silent).port, patience=Patience(connect_s=0.2))
    wait_until(lambda: "nothing came within 0.2 s" in client.trouble, "no metadata")


def test_tls(odd, ask, tmp_path, monkeypatch):
    """wss:// is for a certificate that this machine trusts, and no other."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost", "-out", cert, "-keyout", key]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    port = odd(openpi_like, tls).port
    stranger, _, _ = ask(port, told=TOLD, where="wss://localhost")
    wait_until(lambda: "certificate verify failed" in stranger.trouble, "refused by name")
    stranger.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    _, _, ready = ask(port, told=TOLD, where="wss://localhost")
    assert ready.get(timeout=60).name.startswith("remote-")


def test_what_was_made_for_another_server_is_not_asked(serve, ask, observation):
    client, answers, ready = ask(serve().port)
    ready.get(timeout=60)
    client.submit(observation, ("chest", "head"))
    wait_until(lambda: client._slot is None, "it was looked at")
    submit(client, observation)
    assert answers.get(timeout=60).chunk is not None and answers.empty()


def test_the_newest_observation_is_asked_about(odd, ask, observation):
    asked, go_on = SimpleQueue(), asyncio.Event()

    async def slow(socket):
        await socket.send(pack({}))
        n = 0
        async for data in socket:
            n += 1
            if n > 2:
                asked.put((float(unpack(data)["state"][0]), asyncio.get_running_loop()))
                await go_on.wait()
            await socket.send(pack({"actions": ACTIONS}))

    client, answers, ready = ask(odd(slow).port, told=TOLD)
    ready.get(timeout=60)
    seen = [replace(observation, jpegs=observation.jpegs[:1], state=np.full(17, number)) for number in (1.0, 2.0, 3.0)]
    submit(client, seen[0])
    number, loop = asked.get(timeout=60)
    assert number == 1.0
    submit(client, seen[1])
    submit(client, seen[2])
    loop.call_soon_threadsafe(go_on.set)
    assert [answers.get(timeout=60).observation for _ in range(2)] == [seen[0], seen[2]]
    assert asked.get(timeout=60)[0] == 3.0 and client.n_overtaken == 1
