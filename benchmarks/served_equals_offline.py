"""Compare every answer of the server with the offline model, on test sessions.

    pip install 'nextclick[serve,neural]'
    python benchmarks/served_equals_offline.py STORE ARTIFACT… [--sessions 1000] -o FOLDER

A real server is started for each artifact. Every prefix of the test sessions of a store is sent in
two ways: whole, by POST /v1/recommend, some seconds after the last click; and click by click, by
POST /v1/sessions/{id}/events, where a recurrent model continues from its stored state. Times, users
and the prediction time are sent if the store has them. Each answer is compared with `score` of the
model in this process for the same prefix, and with the K best of that row (`nextclick.core.topk`,
which evaluation uses for ranking).

Columns: prefixes with a click known to the model; answers of either way with the same items in the
same order; the largest difference of a score, per item; answers with another order in which all
exchanged items have offline scores within 1e-4 (ties), and the others (wrong), of which there
should be none; seconds from the start of the server to its first 200 of /readyz; its resident
memory then and after all queries, in MiB. Clicks on items unknown to the store are left out.

FOLDER stores finished parts; rerun the same command to resume.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache_keys import artifact_key
from nextclick.artifact import Artifact
from nextclick.core.session_batch import SessionBatch
from nextclick.core.topk import dense_top
from nextclick.experiments.run_cache import RunCache, digest
from server_process import Client, running, serve_command
from store_sessions import RawSession, sessions_of_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.core.types import Float32Array

WAITED = 7.0  # seconds from the last click to the question, for POST /v1/recommend
CLOSE = 1e-4


@dataclass(slots=True)
class Found:
    """What came of one model.

    Attributes:
        model: its name.
        items: of its catalog.
        sessions: that were asked.
        prefixes: of these, with a click that the model knows.
        passed_over: prefixes without one, which get popular items.
        same: way of asking to how many answers had the items of the model, in its order.
        difference: largest difference of a score.
        ties: answers that differ in items of equal scores alone.
        wrong: the other answers.
        examples: some of these.
        ready_s: seconds from the start of the server until it is ready.
        memory: MiB of the server when it is ready, and after all questions.
    """

    model: str
    items: int
    sessions: int
    prefixes: int = 0
    passed_over: int = 0
    same: dict[str, int] = field(default_factory=lambda: {"whole": 0, "clicks": 0})
    difference: float = 0.0
    ties: int = 0
    wrong: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    ready_s: float = 0.0
    memory: list[float] = field(default_factory=list)

    def compare(self, way: str, answer: dict[str, Any], row: Float32Array, best: Offline) -> None:
        """Count one answer; `row` are the (N + 1,) scores of all items."""
        n = answer["from_model"]
        served = best.artifact.items.indices(answer["items"][:n])
        offline = best.of(row)
        scores = np.array(answer["scores"][:n], dtype=np.float64)
        if n:
            self.difference = max(self.difference, float(np.abs(scores - row[served]).max()))
        if np.array_equal(served, offline):
            self.same[way] += 1
            return
        tied = len(served) == len(offline) and bool(
            (np.abs(row[served] - row[offline]) < CLOSE).all()
        )
        self.ties += tied
        self.wrong += not tied
        if not tied and len(self.examples) < 3:
            self.examples.append(
                {"way": way, "served": served.tolist(), "offline": offline.tolist()}
            )

    def row(self) -> str:
        """Of the table."""
        return (
            f"| {self.model} | {self.items:,} | {self.sessions:,} | {self.prefixes:,} "
            f"| {self.same['whole']:,} | {self.same['clicks']:,} | {self.difference:.1e} "
            f"| {self.ties:,} | {self.wrong:,} | {self.ready_s:.1f} "
            f"| {', '.join(f'{mib:,.0f}' for mib in self.memory)} |"
        )


@dataclass(frozen=True, slots=True)
class Offline:
    """The model of an artifact, asked in this process."""

    artifact: Artifact
    k: int

    def of(self, row: Float32Array) -> Any:
        """The K best items of a row, best first."""
        items = dense_top(row[None], self.k)[0]
        return items[items > 0]

    def prefixes(self, visit: RawSession) -> list[int]:
        """How many clicks each prefix has of which the model knows one."""
        known = np.flatnonzero(self.artifact.items.indices(visit.items) > 0)
        return [] if len(known) == 0 else list(range(int(known[0]) + 1, len(visit.items) + 1))

    def scores(self, visit: RawSession, ends: Sequence[int], waited: float | None) -> Float32Array:
        """(P, N + 1) of the prefixes of so many clicks, asked so long after the last of them."""
        index = self.artifact.items.indices(visit.items)
        rows, gaps = [], []
        for end in ends:
            at = np.flatnonzero(index[:end] > 0)
            rows.append(index[at])
            if visit.times is not None:
                ms = np.round(1000 * np.array(visit.times)[at]).astype(np.int64)
                gaps.append((np.diff(ms, prepend=ms[0]) / 1000).astype(np.float32))
        plain = SessionBatch.from_lists(rows)
        context: dict[str, Any] = {}
        if visit.times is not None:
            context["gaps"] = np.full(plain.items.shape, np.nan, dtype=np.float32)
            for row, known in zip(context["gaps"], gaps, strict=True):
                row[: len(known)] = known
            context["time_since_last_click"] = np.zeros(len(rows), dtype=np.float32)
            if waited is not None:  # a prefix may end with clicks that the model does not know
                context["time_since_last_click"] += [
                    visit.times[end - 1]
                    + waited
                    - visit.times[int(np.flatnonzero(index[:end])[-1])]
                    for end in ends
                ]
        names = self.artifact.users
        user = 0 if names is None or visit.user is None else names.index(visit.user)
        users = np.full(len(rows), user, dtype=np.int32)
        batch = SessionBatch(plain.items, plain.lengths, users=users, **context)
        return self.artifact.model.score(batch)


def whole(client: Client, visit: RawSession, end: int, k: int) -> dict[str, Any]:
    """The answer to a prefix."""
    asked: dict[str, Any] = {"session": list(visit.items[:end]), "k": k}
    if visit.times is not None:
        asked |= {"times": list(visit.times[:end]), "now": visit.times[end - 1] + WAITED}
    if visit.user is not None:
        asked["user"] = visit.user
    answer: dict[str, Any] = client.post("/v1/recommend", asked)
    return answer


def clicks(client: Client, name: str, visit: RawSession, k: int) -> list[dict[str, Any]]:
    """The answers to each click of a live session."""
    answers = []
    for n, item in enumerate(visit.items):
        asked: dict[str, Any] = {"item": item, "k": k}
        # without times in the log, clicks have none that a model could read
        asked["time"] = float(n) if visit.times is None else visit.times[n]
        if visit.user is not None:
            asked["user"] = visit.user
        answers.append(client.post(f"/v1/sessions/{name}/events", asked)["recommendation"])
    return answers


def measured(folder: Path, visits: list[RawSession], k: int, at_once: int) -> Found:
    """Ask one artifact both ways."""
    artifact = Artifact.load(folder)
    model: Any = artifact.model
    found = Found(f"{model.name} ({folder.name})", model.n_items, len(visits))
    best = Offline(artifact, k)
    moves = "times" in model.requires(model.config)  # whose answer depends on when it is asked
    arguments = (f"m={folder}", "--session-clicks", 1000, "--timeout", 60)
    with running(serve_command(*arguments)) as server, Client(server.url) as client:
        found.ready_s = server.seconds
        found.memory.append(server.memory()["rss"])
        for s, visit in enumerate(visits):
            ends = best.prefixes(visit)
            found.prefixes += len(ends)
            found.passed_over += len(visit.items) - len(ends)
            live = clicks(client, f"s{s}", visit, k)
            for start in range(0, len(ends), at_once):
                part = ends[start : start + at_once]
                later = best.scores(visit, part, WAITED)
                now = best.scores(visit, part, None) if moves else later
                for end, row, then in zip(part, now, later, strict=True):
                    found.compare("clicks", live[end - 1], row, best)
                    found.compare("whole", whole(client, visit, end, k), then, best)
            if (s + 1) % 100 == 0:
                print(f"{found.model}: {s + 1} sessions", file=sys.stderr)
        found.memory.append(server.memory()["rss"])
    return found


def cached(folder: Path, visits: list[RawSession], options: argparse.Namespace) -> Found:
    """The comparison of an artifact, unless the cache has it for the same sessions and options."""
    inputs = {
        "artifact": artifact_key(folder), "k": options.k, "at_once": options.at_once,
        "sessions": digest(repr(visits).encode()),
    }  # fmt: skip

    def compute(_: Path) -> dict[str, Any]:
        return asdict(measured(folder, visits, options.k, options.at_once))

    return Found(**RunCache(options.output).values(folder.name, inputs, compute))


def main() -> None:
    """Compare, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="what `nextclick prepare` made")
    parser.add_argument("artifacts", type=Path, nargs="+", help="what `nextclick train` made")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--sessions", type=int, default=1000, help="of the test (default 1000)")
    parser.add_argument("-k", type=int, default=20, help="items of an answer (default 20)")
    parser.add_argument("--at-once", type=int, default=1, help="prefixes that the offline model "
                        "scores together (default 1, as the server has them)")  # fmt: skip
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    visits = sessions_of_store(options.store, limit=options.sessions)
    print(
        "| model | items | sessions | prefixes | same, whole | same, click by click "
        "| largest difference | ties | wrong | ready after, s | RSS, MiB |\n" + "|---" * 11 + "|",
        flush=True,
    )
    wrong = 0
    for folder in options.artifacts:
        found = cached(folder, visits, options)
        wrong += found.wrong
        print(found.row(), flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
