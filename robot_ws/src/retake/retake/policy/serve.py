"""`retake serve policy:=FOLDER`: a policy for any openpi client, or for a graph with policy:=ws://HOST:PORT.

Prints the address when it is warm. Beyond loopback clients need a token: header `Authorization: Api-Key TOKEN`, which
is `api_key` of openpi's client and RETAKE_POLICY_TOKEN of a graph. Ctrl-C and SIGTERM end it.
"""

from __future__ import annotations

import argparse
import os
import signal

from policies.policy_words import NO_POLICY, is_remote, whole
from retake.errors import UserError
from retake.panel.gate import MIN_TOKEN_LENGTH, is_loopback
from retake.policy.remote_choice import TOKEN_VARIABLE

PORT = 8000  # openpi's
LOOK_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See the module."""
    parser.add_argument("words", nargs="+", metavar="policy:=FOLDER", help="checkpoint: model.safetensors and "
                        "policy.json; lerobot:FOLDER, with channels:='OURS=THEIRS ...' for names that differ; "
                        "package.module:Class")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s); 0.0.0.0: all")
    parser.add_argument("--port", type=int, default=PORT, help="TCP port (%(default)s)")
    parser.add_argument("--token", default="", help=f"what clients must know; better in {TOKEN_VARIABLE}, which no "
                        f"process list shows; beyond loopback at least {MIN_TOKEN_LENGTH} characters")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads of torch (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal."""
    policy, names = _read(args.words)
    token = args.token or os.environ.get(TOKEN_VARIABLE, "")
    if not is_loopback(args.host) and len(token) < MIN_TOKEN_LENGTH:
        raise UserError(f"--host {args.host} lets other machines in: give a token of at least {MIN_TOKEN_LENGTH} "
                        f"characters ({TOKEN_VARIABLE} or --token), or serve 127.0.0.1 and come through an ssh tunnel")
    if not 0 <= args.port <= 65535 or not 1 <= args.threads <= 256:
        raise UserError(f"--port {args.port} --threads {args.threads}; allowed: 0 to 65535, 1 to 256")
    return _serve(policy, names, args.host, args.port, token, args.threads)


def _read(words: list[str]) -> tuple[str, str]:
    """The policy, and the channels' names."""
    given: dict[str, str] = {}
    for word in words:
        name, is_pair, value = word.partition(":=")
        name, value = (name, value) if is_pair else ("policy", word)
        if name not in ("policy", "channels") or name in given:
            raise UserError(f"no argument {word}; allowed, once each: policy, channels; write policy:=FOLDER")
        given[name] = value
    policy = given.get("policy", "")
    if policy in ("", NO_POLICY) or is_remote(policy):
        raise UserError(f"policy:={policy} is no folder; allowed: a checkpoint of `retake train`, lerobot:FOLDER or "
                        "package.module:Class; write policy:=FOLDER")
    return whole(policy), given.get("channels", "")


def _serve(choice: str, names: str, host: str, port: int, token: str, threads: int) -> int:
    import torch  # here: --help needs none of it

    try:
        from policies.openpi_server import PolicyService
    except ModuleNotFoundError as error:  # in an environment that somebody made for another's policies
        raise UserError(f"the package {error.name} is missing here; `retake serve` needs websockets and msgpack beside "
                        "what the policy needs: pip install websockets msgpack") from None
    from policies.policy_choice import choose
    from policies.served_policy import ServedPolicy

    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: asked.append(number))
    torch.set_num_threads(threads)
    policy = ServedPolicy(choose(choice, names=names))
    service = PolicyService(policy, host, port, token, lambda text: print(text, flush=True))
    service.start()
    service.is_ready.wait()
    if service.failure is not None:
        raise UserError(f"port {port} on {host} cannot be used ({service.failure.strerror or service.failure}); stop "
                        f"the program that listens there, or choose another with --port {PORT + 1}")
    said = policy.metadata
    about = " for ".join(word for word in (said["task"], said["robot"]) if word)
    print(f"{choice}: {about}, {said['policy_sha256'][:12]}, "
          f"{1000 * policy.warm_s:.0f} ms a chunk; ws://{host}:{service.port}"
          f"{' with a token' if token else ''}", flush=True)
    while not asked and service.is_alive():
        service.join(LOOK_S)
    service.close()
    print(f"{service.n_answered} answered, {service.n_refused} refused", flush=True)
    return 0
