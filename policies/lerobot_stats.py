"""Statistics as LeRobot keeps them: per episode in meta/episodes, over all in meta/stats.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
PIXEL_FRAMES, PIXEL_STRIDE = 100, 8  # of an episode's video

Stats = dict[str, dict[str, np.ndarray]]  # feature -> statistic -> values; `count` is (1,) int64


def feature_stats(values: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Of (n, d) numbers per column: min, max, mean, std, quantiles (d,); `count` is what they stand for."""
    values = np.asarray(values, np.float64)
    stats = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0),
             "count": np.array([count])}
    quantiles = np.quantile(values, QUANTILES, axis=0)
    return stats | {f"q{round(q * 100):02d}": row for q, row in zip(QUANTILES, quantiles, strict=True)}


def column_stats(columns: Mapping[str, object], features: Mapping[str, dict]) -> Stats:
    """Of every numeric column of an episode; those of one value per row as (1,)."""
    stats = {}
    for key, values in columns.items():
        if features[key]["dtype"] != "string":
            table = np.asarray(values)
            stats[key] = feature_stats(table.reshape(len(table), -1), len(table))
    return stats


def pixel_stats(samples: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Of RGB pixels (m, 3) uint8 per sampled frame: in [0, 1], per colour, as (3, 1, 1)."""
    stats = feature_stats(np.concatenate(samples) / 255.0, len(samples))
    return {key: value if key == "count" else value.reshape(3, 1, 1) for key, value in stats.items()}


def sampled_frames(n: int) -> set[int]:
    """Which of n frames `pixel_stats` should see."""
    return set(np.linspace(0, n - 1, min(n, PIXEL_FRAMES)).round().astype(int).tolist())


def merged(parts: Iterable[Stats]) -> Stats:
    """Over several episodes: exact but for quantiles, which like LeRobot's are bounds (lowest below, highest above)."""
    total: Stats = {}
    for stats in parts:
        for key, new in stats.items():
            total[key] = _merge(total[key], new) if key in total else new
    return total


def _merge(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    n, m = int(a["count"][0]), int(b["count"][0])
    mean = (a["mean"] * n + b["mean"] * m) / (n + m)
    spread = [(s["std"] ** 2 + (s["mean"] - mean) ** 2) * count for s, count in ((a, n), (b, m))]
    out = {"min": np.minimum(a["min"], b["min"]), "max": np.maximum(a["max"], b["max"]), "mean": mean,
           "std": np.sqrt(sum(spread) / (n + m)), "count": np.array([n + m])}
    for q in QUANTILES:
        key = f"q{round(q * 100):02d}"
        out[key] = (np.minimum if q <= 0.5 else np.maximum)(a[key], b[key])
    return out


def row_stats(row: Mapping[str, object]) -> Stats:
    """The statistics in a row of meta/episodes."""
    stats: Stats = {}
    for column, value in row.items():
        if column.startswith("stats/"):
            _, key, name = column.split("/")
            stats.setdefault(key, {})[name] = np.array(value)
    return stats


def as_lists(stats: Stats) -> dict[str, dict[str, list]]:
    """For JSON."""
    return {key: {name: value.tolist() for name, value in of.items()} for key, of in stats.items()}
