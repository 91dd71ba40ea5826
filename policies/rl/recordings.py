"""The launched graph as the actor of a run: a folder that it records into, watched for what is new."""

from __future__ import annotations

from pathlib import Path

from policies.episode_file import EpisodeError as RecordingError
from policies.episode_meta import META_NAME, read_meta
from policies.policy import ChunkPolicy
from policies.rl.episode import SUFFIX, EpisodeError, save_episode
from policies.rl.observation import Layout
from policies.rl.recorded import rl_episode
from policies.rl.run import RunFolder
from policies.rl.success import Detector, Watch
from policies.verifier import Verifier


class Recordings:
    """`poll` hands what is new and has been judged to a run's learner. What cannot be learnt from is left where it is,
    said in a line, and looked at again when its episode.json changes, as when somebody labels it."""

    def __init__(self, root: Path, run: RunFolder, base: ChunkPolicy, layout: Layout, reference_ns: int,
                 verifier: Verifier | None = None) -> None:  # fmt: skip
        """`verifier`: tells the learner of success instead of the label, which it is compared with."""
        self._root, self._run, self._base, self._layout = root, run, base, layout
        self._reference_ns = reference_ns
        self._detector: Detector | None = None
        self.watch: Watch | None = None
        if verifier is not None:
            self._detector = Detector(verifier, base.config.action_channels, base.config.cameras)
            self.watch = Watch(verifier, run.path)
        self._refused: dict[str, int] = {}  # when what is not learnt from was changed last, ns

    def poll(self) -> int:
        """How many were new."""
        _, about = self._run.read()
        taken = 0
        for folder in sorted(path.parent for path in self._root.glob(f"*/{META_NAME}")):
            name = f"{folder.name}{SUFFIX}"
            if (self._run.episodes / name).exists() or (self._run.refused / name).exists():
                continue
            changed_ns = (folder / META_NAME).stat().st_mtime_ns
            if self._refused.get(folder.name) == changed_ns:
                continue
            try:
                meta = read_meta(folder)
                if meta["ended_ns"] is None or meta["outcome"] == "discarded":
                    continue  # it is being recorded, or somebody wants it forgotten
                made = rl_episode(folder, about, self._base, self._layout, self._reference_ns, self._detector)
                save_episode(self._run.episodes / name, made)
                taken += 1
                if self.watch is not None:
                    self.watch.add(said=made.end == "success", true=meta["outcome"] == "success")
            except (EpisodeError, RecordingError) as error:
                self._refused[folder.name] = changed_ns
                print(f"not learnt from: {error}", flush=True)
        return taken
