"""What the doctor says about a policy server, ours and none."""

import dataclasses

import pytest
from relay import OddServer

from controllers.rigs import G1, YAM
from policies.openpi_wire import pack
from retake.doctor import command as doctor
from retake.doctor.finding import Level
from retake.doctor.policy import server
from retake.policy.remote_choice import TOKEN_VARIABLE

TOKEN = "a token of enough length"
CALM = "answer_s=10"


def test_a_server_that_fits(serve, checkpoint, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    patient = dataclasses.replace(G1, camera_dt=10.0)  # however busy this machine is
    found = server(f"ws://127.0.0.1:{serve(token=TOKEN).port}", CALM, patient)
    assert found.level is Level.GOOD
    assert f"{checkpoint.sha256[:16]}, cameras head, chest at 32x24, answers in" in found.seen
    hurried = dataclasses.replace(G1, camera_dt=1e-6)
    found = server(f"ws://127.0.0.1:{serve(token=TOKEN).port}", CALM, hurried)
    assert found.level is Level.NOTE and "some will not be asked about" in found.remedy


def test_servers_that_do_not(serve):
    port = serve(token=TOKEN).port
    assert "the token is missing" in server(f"ws://127.0.0.1:{port}", "", G1).line()
    found = server(f"ws://127.0.0.1:{serve().port}", "", YAM)
    assert found.level is Level.BAD and "the server says robot 'g1'; allowed: 'yam'" in found.seen
    service = serve()
    service.close()
    assert "Connect call failed" in server(f"ws://127.0.0.1:{service.port}", "", G1).seen


@pytest.mark.parametrize(("third", "says"), [("out of memory", "out of memory"), (pack({}), "no array of floats")])
def test_a_server_that_fails_when_asked(third, says):
    import numpy as np

    async def talk(socket):
        await socket.send(pack({}))
        n = 0
        async for _ in socket:
            n += 1
            await socket.send(third if n > 2 else pack({"actions": np.zeros((5, 17), np.float32)}))

    odd = OddServer(talk)
    try:
        found = server(f"ws://127.0.0.1:{odd.port}", "state=state images=head:image size=64x48 dt_ms=20", G1)
    finally:
        odd.close()
    assert found.level is Level.BAD and says in found.seen


def test_the_doctor_asks_it():
    values = doctor.read_arguments({"policy": "ws://127.0.0.1:1", "headless": "true"})
    assert any(getattr(check, "func", None) is server for check in doctor.checks(values, []))
