"""The `retake` command: each subcommand is a module with `add_arguments(parser)` and `run(args) -> int`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from retake.errors import UserError

COMMANDS = {
    "demo": ("retake.demo", "run the graph with the evaluator as operator"),
    "up": ("retake.up", "run the graph; people are the operators"),
    "teleop": ("retake.teleop.command", "a gamepad, SpaceMouse, headset, keyboard, pose stream beside a running graph"),
    "collect": ("sim.collect", "record episodes of the scripted expert"),
    "train": ("policies.train", "train a policy from recorded episodes"),
    "train-verifier": ("policies.train_verifier", "train a success classifier from recorded outcomes"),
    "train-value": ("policies.train_value", "train a critic that chooses between the chunks of a policy"),
    "serve": ("retake.policy.serve", "a policy for openpi clients, here or on another machine"),
    "home": ("policies.home_command", "write where a policy is at home, from the episodes it was trained on"),
    "eval": ("sim.evaluate", "success rate on held-out seeds: through the full graph, or fast in one process"),
    "learn": ("sim.learn", "a residual on a frozen policy by reinforcement learning"),
    "improve": ("sim.improve", "rounds of watching a policy, helping it and learning from the help"),
    "promote": ("sim.promote", "deploy a policy if it is no worse than the deployed one, on held-out seeds"),
    "rollback": ("policies.rl.rollback", "deploy the policy that was deployed before; show the ledger"),
    "wire": ("sim.g1_wire_command", "remote and gantry of the G1 of robot:=sim-wire"),
    "doctor": ("retake.doctor.command", "is this machine fit to run the robot?"),
    "episodes": ("retake.episodes.command", "list recorded episodes; relabel, discard, undo"),
    "export": ("retake.episodes.dataset_export", "episodes to a LeRobot v3 dataset, only what is new"),
    "import": ("retake.episodes.dataset_import", "a LeRobot v3 dataset to episodes"),
    "validate": ("retake.episodes.validate", "are an episode, a folder of them or a LeRobot dataset whole?"),
    "explain": ("retake.episodes.explain", "who commanded at a moment of a recording, from what, and why it jumped"),
    "report": ("retake.report.command", "an episode or a dataset as one HTML page"),
    "replay": ("retake.replay.command", "an episode as a film, or its motion once more"),
}


class Parser(argparse.ArgumentParser):
    """Complains in one line: what, what is allowed, what to do."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; 2 for what a person can put right, said in one line."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print("usage: retake COMMAND ...\n")
        print("\n".join(f"  {name:15}{about}" for name, (_, about) in COMMANDS.items()))
        print("\nretake COMMAND --help says more")
        return 0 if words else 2
    if words[0] not in COMMANDS:
        print(f"retake: no command {words[0]!r}; allowed: {', '.join(COMMANDS)}; see retake --help", file=sys.stderr)
        return 2
    module, about = COMMANDS[words[0]]
    command = importlib.import_module(module)
    parser = Parser(prog=f"retake {words[0]}", description=about)
    command.add_arguments(parser)
    args = parser.parse_args(words[1:])
    try:
        return int(command.run(args) or 0)
    except (UserError, ValueError, OSError) as error:
        print(f"retake {words[0]}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
