"""LeRobot's policies (ACT, diffusion) from the folder that its training wrote, through the `lerobot` package.

    policy:='lerobot:outputs/train/act/checkpoints/last/pretrained_model'

The package needs a torch of its own (0.6.1: Python 3.12, torch below 2.12, torchvision). Where it cannot be imported
beside ours, `retake serve policy:=lerobot:FOLDER` runs in LeRobot's environment and the graph asks it with
policy:=ws://HOST:PORT.

A checkpoint does not say what its numbers mean; the dataset that it was trained on does. Its meta/info.json (or a copy
beside config.json) names the channels and gives the rate. Channels and cameras are matched by these names; where they
differ, a person says which are which. Nothing is matched by its place. LeRobot's first action is that of the
observation's own moment, which has passed when the chunk comes: it is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policies.policy_words import LEROBOT
from policies.predictor import LATEST, TEMPORAL_ENSEMBLING, PlainInterface
from policies.prefix import ActionPrefix

KINDS = {"act": TEMPORAL_ENSEMBLING, "diffusion": LATEST}
STATE, ACTION, IMAGES = "observation.state", "action", "observation.images."
WEIGHTS, CONFIG = "model.safetensors", "config.json"
INFO = "meta/info.json"
PROCESSORS = ("policy_preprocessor.json", "policy_postprocessor.json")


class LeRobotPolicy:
    """A checkpoint of LeRobot as the graph asks it, on a GPU where there is one."""

    def __init__(self, folder: Path, channels: tuple[str, ...] | None, names: dict[str, str]) -> None:
        """`channels`: the robot's, of action and state; None takes the dataset's own, in their order. `names`: ours to
        the dataset's, where they differ, of channels and of cameras.

        Raises:
            ValueError: there is no such checkpoint, it does not fit, or `lerobot` cannot be imported.
        """
        about, info = _read(folder)
        self.sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        self.execution, self.takes_prefix = KINDS[about["type"]], False
        features, ours = about["input_features"], {theirs: name for name, theirs in names.items()}
        theirs = {key: tuple(info["features"][key]["names"]) for key in (STATE, ACTION)}
        if unknown := set(ours) - {*theirs[STATE], *theirs[ACTION], *(k.removeprefix(IMAGES) for k in features)}:
            raise ValueError(f"{folder} has no {', '.join(sorted(unknown))}; allowed: {', '.join(theirs[ACTION])}; "
                             "write channels:='OURS=THEIRS ...'")
        named = {key: tuple(ours.get(name, name) for name in theirs[key]) for key in theirs}
        self._order = {key: _order(named[key], channels or named[key], key, folder) for key in named}
        self._keys = [key for key in features if key.startswith(IMAGES)]
        self._policy, self._before, self._after = _load(folder, about)
        height, width = features[self._keys[0]]["shape"][1:]
        self.config = PlainInterface(
            channels or named[ACTION], channels or named[STATE],
            tuple(ours.get(key.removeprefix(IMAGES), key.removeprefix(IMAGES)) for key in self._keys),
            width, height, 1, round(1e9 / info["fps"]))
        blank = [np.zeros((height, width, 3), np.uint8)] * len(self._keys)
        chunk = self.predict(blank, np.zeros(len(named[STATE])), seed=0)
        self.config = replace(self.config, chunk_size=len(chunk))

    @torch.no_grad()
    def predict(
        self, pictures: Sequence[np.ndarray], state: np.ndarray, seed: int, prefix: ActionPrefix | None = None
    ) -> np.ndarray:
        """Its actions from the second on; see policies/predictor.py."""
        batch = {STATE: torch.from_numpy(state[self._order[STATE]].astype(np.float32))}
        for key, picture in zip(self._keys, pictures, strict=True):
            batch[key] = torch.from_numpy(picture.transpose(2, 0, 1).copy()).float() / 255.0
        batch = self._before(batch)
        if self.execution == LATEST:  # diffusion: (b, n_obs_steps, s)
            batch[STATE] = batch[STATE][:, None]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            actions = self._policy.predict_action_chunk(batch)
        chunk = self._after(actions[0]).cpu().numpy().astype(np.float64)
        back = np.argsort(self._order[ACTION])
        return chunk[1:, back]


def read_names(text: str) -> dict[str, str]:
    """`OURS=THEIRS` with spaces or commas between.

    Raises:
        ValueError: it is something else, or names one twice.
    """
    pairs = [word.partition("=") for word in text.replace(",", " ").split()]
    names = {ours: theirs for ours, _, theirs in pairs}
    is_whole = all(ours and theirs for ours, _, theirs in pairs)
    if not is_whole or not len(names) == len(set(names.values())) == len(pairs):
        raise ValueError(f"cannot read channels:={text}; allowed: OURS=THEIRS, each once; write "
                         "channels:='ee.x=x gripper=grip wrist=cam_wrist'")
    return names


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """config.json of the checkpoint and info.json of its dataset, as far as they are needed, checked."""
    wanted = (CONFIG, WEIGHTS, *PROCESSORS)
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise ValueError(f"{folder} is no checkpoint of LeRobot: it lacks {', '.join(missing)}; allowed: the folder "
                         "pretrained_model that lerobot-train writes (0.6: with its processors)")
    about = _json(folder / CONFIG)
    if about.get("type") not in KINDS:
        raise ValueError(f"{folder} is {about.get('type')!r}; allowed: {', '.join(KINDS)}; serve it with "
                         "LeRobot and write policy:=ws://HOST:PORT")
    if about.get("n_obs_steps") != 1:
        raise ValueError(f"{folder} looks at n_obs_steps {about.get('n_obs_steps')}; allowed: 1, an observation is of "
                         "one moment here; train with --policy.n_obs_steps=1")
    features = about.get("input_features") or {}
    cameras = [key for key in features if key.startswith(IMAGES)]
    if STATE not in features or not cameras or len(features) > 1 + len(cameras):
        raise ValueError(f"{folder} takes {', '.join(features) or 'nothing'}; allowed: {STATE} and {IMAGES}CAMERA")
    info = _info(folder)
    for key, size in ((STATE, features[STATE]["shape"][0]), (ACTION, about["output_features"][ACTION]["shape"][0])):
        names = info.get("features", {}).get(key, {}).get("names")
        if not isinstance(names, list) or len(names) != size or len(set(names)) != size:
            raise ValueError(f"the dataset of {folder} does not name the {size} numbers of {key} one by one; name them "
                             f"in {folder / Path(INFO).name}, a copy of its {INFO}")
    return about, info


def _info(folder: Path) -> dict[str, Any]:
    """info.json beside the checkpoint, or of the dataset that train_config.json tells of."""
    train = folder / "train_config.json"
    root = (_json(train).get("dataset") or {}).get("root") if train.is_file() else None
    for path in (folder / Path(INFO).name, *([Path(root) / INFO] if root else [])):
        if path.is_file():
            return _json(path)
    raise ValueError(f"{folder} does not say what its numbers mean; copy {INFO} of the dataset that it was trained on "
                     "into it")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no JSON object; copy the checkpoint again")
    return found


def _order(named: tuple[str, ...], wanted: tuple[str, ...], key: str, folder: Path) -> np.ndarray:
    """(n,) where each of `named` is among `wanted`."""
    if set(named) != set(wanted):
        raise ValueError(
            f"{folder}: {key} lacks {sorted(set(wanted) - set(named))} and has {sorted(set(named) - set(wanted))}; "
            f"allowed: {', '.join(wanted)}; say which are which with channels:='OURS=THEIRS ...'")
    return np.array([wanted.index(name) for name in named])


def _load(folder: Path, about: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The policy, what comes before it and what after it."""
    try:
        from lerobot.configs import PreTrainedConfig
        from lerobot.policies import get_policy_class, make_pre_post_processors

        kind = get_policy_class(about["type"])
    except ImportError as error:
        raise ValueError(f"LeRobot cannot be imported here ({error}); run `retake serve policy:={LEROBOT}{folder}` in "
                         "its environment and write policy:=ws://127.0.0.1:8000") from error
    config = PreTrainedConfig.from_pretrained(str(folder), local_files_only=True)
    config.device = "cuda" if torch.cuda.is_available() else "cpu"
    if about["type"] == "act":
        config.pretrained_backbone_weights = None  # else it fetches ImageNet's, and then loads the checkpoint's
    else:
        config.n_action_steps = config.horizon  # all that it predicts
    policy = kind.from_pretrained(str(folder), config=config, local_files_only=True, strict=True)
    device = {"device_processor": {"device": config.device}}
    before, after = make_pre_post_processors(config, pretrained_path=str(folder), preprocessor_overrides=device)
    return policy.eval(), before, after
