"""Recommendations of the model in this folder, by onnxruntime and numpy alone.

    pip install onnxruntime numpy
    python example.py ID ID ... [-k 20] [--times 0,12.5 --now 40] [--user ID]

The ids are those of the log, the oldest click first. Ids that the model does not know are skipped;
if none is known, the most popular items are printed. The file is an example to copy from: the class
`Exported` loads the folder once and then answers sessions.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime


class Vocabulary:
    """Raw ids in the order of their indices 1, 2, ..."""

    def __init__(self, folder: Path):
        if (folder / "ids.npy").exists():  # integers
            self.ids = [str(number) for number in np.load(folder / "ids.npy")]
        else:  # UTF-8, one id after the other
            text = np.load(folder / "text.npy").tobytes()
            ends = [0, *np.load(folder / "ends.npy").tolist()]
            self.ids = [text[start:end].decode() for start, end in pairwise(ends)]
        self.index_of = {raw: index for index, raw in enumerate(self.ids, start=1)}

    def index(self, raw: str | int | None) -> int:
        """The index of a raw id, 0 if it is unknown."""
        return self.index_of.get(str(raw).strip(), 0)


class Exported:
    """The model in a folder that `nextclick export` wrote."""

    def __init__(self, folder: Path):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.inputs = {each["name"] for each in manifest["inputs"]}
        self.max_length = manifest["max_length"]
        self.items = Vocabulary(folder / "items")
        self.users = Vocabulary(folder / "users") if "users" in self.inputs else None
        self.popularity = np.load(folder / "items" / "support.npy")
        self.known = np.ones(len(self.popularity), dtype=bool)  # items that the model can rank
        if (folder / "items" / "known.npy").exists():
            self.known = np.load(folder / "items" / "known.npy")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one request is too small for several
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options)

    def recommend(
        self,
        clicks: list[str],
        k: int = 20,
        times: list[float] | None = None,
        now: float | None = None,
        user: str | None = None,
    ) -> list[tuple[str, float]]:
        """The k best items of a session with their scores; clicks of raw ids, times in seconds."""
        if times is not None and len(times) != len(clicks):
            raise ValueError(f"{len(times)} times for {len(clicks)} clicks")
        indices = np.array([self.items.index(raw) for raw in clicks], dtype=np.int64)
        known = (indices > 0) & self.known[indices]
        if known.any():
            scores = self.scores(indices[known], _known(times, known), now, user)
        else:
            scores = np.where(self.known, self.popularity, -np.inf).astype(np.float32)
            scores[0] = -np.inf
        best = np.argsort(-scores, kind="stable")[:k]
        return [(self.items.ids[i - 1], float(scores[i])) for i in best if scores[i] > -np.inf]

    def scores(
        self,
        items: np.ndarray,
        times: np.ndarray | None,
        now: float | None,
        user: str | None,
    ) -> np.ndarray:
        """(N + 1,) scores after (T,) indices of items; a batch has more rows and padding 0."""
        gaps = np.full(len(items), np.nan)
        waited = 0.0
        if times is not None:
            gaps[1:] = np.diff(times)
            waited = 0.0 if now is None else now - times[-1]
        items, gaps = items[-self.max_length :], gaps[-self.max_length :]
        feed = {
            "items": items[None],
            "lengths": np.array([len(items)]),
            "gaps": gaps[None].astype(np.float32),
            "waited": np.array([waited], dtype=np.float32),
            "users": np.array([self.users.index(user) if self.users is not None else 0]),
        }
        used = {name: feed[name] for name in self.inputs}
        scores: np.ndarray = self.session.run(["scores"], used)[0][0]
        return scores


def _known(times: list[float] | None, known: np.ndarray) -> np.ndarray | None:
    return None if times is None else np.array(times, dtype=np.float64)[known]


def main() -> None:
    """Print the recommendations of the session on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clicks", nargs="+", help="ids of the clicked items, the oldest first")
    parser.add_argument("-k", type=int, default=20, help="number of items (default 20)")
    parser.add_argument("--times", help="seconds of each click, separated by commas")
    parser.add_argument("--now", type=float, help="moment of the prediction, on the same clock")
    parser.add_argument("--user", help="id of the visitor")
    options = parser.parse_args()
    times = [float(time) for time in options.times.split(",")] if options.times else None
    model = Exported(Path(__file__).parent)
    for item, score in model.recommend(options.clicks, options.k, times, options.now, options.user):
        print(f"{item}\t{score:.6g}")


if __name__ == "__main__":
    main()
