"""Run by a Python that has LeRobot, not by ours: opens exported datasets with it and times its own writer.

Arguments: the folder with peer.npz and peer/<camera>/*.jpg, then the datasets. Prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

import av
import cv2
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

FPS = 30


def main() -> None:
    """Open, then write."""
    folder, datasets = Path(sys.argv[1]), sys.argv[2:]
    frames = sum(opened(Path(dataset)) for dataset in datasets)
    pictures, seconds, cpu_s = written(folder)
    name = f"lerobot {version('lerobot')}"
    print(json.dumps({"loaded": f"{name} opens all {frames} rows with their pictures",
                      "written": f"{name}: {pictures / seconds:.0f} frames/s, {pictures / cpu_s:.0f} per CPU second"}))


def opened(root: Path) -> int:
    """Rows of a dataset, each of which LeRobot gives with the picture that is its in the video read in order."""
    dataset = LeRobotDataset(root.name, root=root, video_backend="pyav", return_uint8=True)
    for key in dataset.meta.video_keys:
        for episode in dataset.meta.episodes:
            path = root / dataset.meta.get_video_file_path(episode["episode_index"], key)
            with av.open(str(path)) as container:
                first = episode["dataset_from_index"]
                for i, frame in enumerate(container.decode(video=0), start=first):
                    item = dataset[i]
                    assert item["index"].item() == i
                    assert np.array_equal(item[key].numpy().transpose(1, 2, 0), frame.to_ndarray(format="rgb24"))
                assert i + 1 == episode["dataset_to_index"]
    return len(dataset)


def cpu_seconds() -> float:
    """Of this process and those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def written(folder: Path) -> tuple[int, float, float]:
    """Pictures written and the seconds, of the clock and of processors, that it took; decoding of JPEGs included."""
    values = np.load(folder / "peer.npz")
    state, action = (values[name].astype(np.float32) for name in ("state", "action"))
    cameras = {path.name: sorted(path.iterdir()) for path in sorted((folder / "peer").iterdir())}
    height, width = cv2.imread(str(next(iter(cameras.values()))[0])).shape[:2]
    names = [f"c{i}" for i in range(state.shape[1])]
    vector = {"dtype": "float32", "shape": (len(names),), "names": names}
    video = {"dtype": "video", "shape": (height, width, 3), "names": ["height", "width", "channels"]}
    features = {"observation.state": vector, "action": vector,
                **{f"observation.images.{camera}": video for camera in cameras}}
    begin, cpu_begin = time.perf_counter(), cpu_seconds()
    dataset = LeRobotDataset.create("peer", FPS, features, root=folder / "peer-dataset", robot_type="arm",
                                    image_writer_threads=4)
    for i in range(len(state)):
        pictures = {f"observation.images.{camera}": cv2.imread(str(paths[i]))[..., ::-1]
                    for camera, paths in cameras.items()}
        dataset.add_frame({"observation.state": state[i], "action": action[i], "task": "insert", **pictures})
    dataset.save_episode()
    dataset.finalize()
    return len(state) * len(cameras), time.perf_counter() - begin, cpu_seconds() - cpu_begin


if __name__ == "__main__":
    main()
