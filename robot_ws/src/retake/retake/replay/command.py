"""`retake replay EPISODE`: a film of it with --video, or its motion once more, on whatever robot `retake up` runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from retake.episodes.chosen import chosen_episode
from retake.errors import UserError
from retake.replay.path import read_recording

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to replay and how."""
    parser.add_argument("episode", help="folder of the episode, or its name as `retake episodes` lists it")
    parser.add_argument("--video", type=Path, metavar="OUT.mp4", help="write a film of the cameras; nothing moves")
    parser.add_argument("--approach", action="store_true",
                        help="go to where the recording began first, slowly, however far away the robot is")


def run(args: argparse.Namespace) -> int:
    """Write the film, or play the motion through the running graph."""
    folder = chosen_episode(args.episode)
    if args.video is None:
        return _play(folder, args.approach)
    if args.approach:
        raise UserError("--approach moves a robot and --video none; give one of them")
    if args.video.suffix != ".mp4":
        raise UserError(f"--video {args.video} is no MP4; write --video {args.video.with_suffix('.mp4')}")
    from policies.video import write_video  # here: the codecs are large, and only a film needs them

    args.video.parent.mkdir(parents=True, exist_ok=True)
    frames, seconds = write_video(folder, args.video)
    print(f"{args.video}: {frames} frames, {seconds:.1f} s")
    return 0


def _play(folder: Path, approach: bool) -> int:
    recording = read_recording(folder)
    from retake.up import DEFAULT_ENVIRONMENT  # here: it brings ROS with it, which takes a second

    for name, value in DEFAULT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import rclpy

    from retake.replay.node import Replay
    from retake.ros.spin import run

    made: list[Replay] = []

    def replay() -> Replay:
        made.append(Replay(recording, approach, rclpy.try_shutdown))
        return made[0]

    code = run(replay, [])
    if code or not made:
        return code
    node = made[0]
    if node.refusal:
        raise UserError(node.refusal)
    if not node.length_ns:
        print("ended before it had the robot; nothing moved")
        return INTERRUPTED
    if not node.is_over:
        print(f"let go after {node.elapsed_ns / 1e9:.1f} of {node.length_ns / 1e9:.1f} s; the robot rests, teleop "
              "keeps authority: hand_back or stop")
        return INTERRUPTED
    print(f"replayed {folder.name}: {recording.seconds:.1f} s, hands within {100 * node.deviation_m:.1f} cm of the "
          "recording; the robot rests, teleop keeps authority: hand_back or stop")
    return 0
