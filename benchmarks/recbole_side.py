"""RecBole's side of `recbole.py`, and the code shared by both sides.

`recbole.py` imports this file in the environment of nextclick, and `run_theirs` starts it in that
of RecBole. Its top level imports only torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

K = 20
RANKED = 512  # prefixes that are ranked at a time
WIDTHS: dict[str, dict[str, Any]] = {
    "NARM": {"embedding_size": 50, "hidden_size": 100, "dropout_probs": [0.25, 0.5]},
    "GRU4Rec": {"embedding_size": 64, "hidden_size": 128, "dropout_prob": 0.3},
    "SRGNN": {"embedding_size": 100, "step": 1},
}


class Stopwatch:
    """Adds up the seconds inside its context, and the prefixes passed to it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.samples = 0

    def __enter__(self) -> Stopwatch:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self._began


def stretch(
    batches: Iterable[Any],
    warm_up: int,
    steps: int,
    watch: Stopwatch,
    during: AbstractContextManager[Any] | None = None,
) -> Iterator[Any]:
    """Yield the first batches, and measure the steps that are made of those after the warm-up.

    Making the batches is measured too.

    Args:
        batches: each has a length, its prefixes.
        warm_up: steps before the measurement.
        steps: that are measured.
        watch: runs during those steps.
        during: is entered for them.
    """
    rest = iter(batches)
    yield from islice(rest, warm_up)
    with during or nullcontext(), watch:
        for batch in islice(rest, steps):
            watch.samples += len(batch)
            yield batch


def recall(blocks: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Recall@K over blocks of (B, N + 1) scores, column 0 no item, and (B,) targets.

    Items with the score of the target rank before it.
    """
    hits = targets_in_all = 0
    for scores, targets in blocks:
        of_target = scores.gather(1, targets[:, None])  # (B, 1)
        ranks = (scores[:, 1:] >= of_target).sum(1)  # (B,)
        hits += int((ranks <= K).sum())
        targets_in_all += len(targets)
    return hits / targets_in_all


class Theirs:
    """RecBole with its own data loader, optimizer and loop over an epoch."""

    def __init__(self, task: dict[str, Any]):
        self.task = task
        config = self.config(task["models"][0])
        data = import_module("recbole.data")
        self.train, _, self.test = data.data_preparation(config, data.create_dataset(config))
        n_items = self.train.dataset.item_num - 1
        if n_items != task["n_items"]:
            sys.exit(f"RecBole counts {n_items} items, the store {task['n_items']}")

    def config(self, model: str) -> Any:
        """Their defaults but for what `recbole.py` says."""
        task = self.task
        values = {
            "data_path": ".",
            "benchmark_filename": ["train", "test", "test"],
            "load_col": {"inter": ["session_id", "item_id_list", "item_id"]},
            "USER_ID_FIELD": "session_id",
            "alias_of_item_id": ["item_id_list"],
            "MAX_ITEM_LIST_LENGTH": task["max_length"],
            "train_batch_size": task["batch_size"],
            "train_neg_sample_args": None,
            "learning_rate": task["learning_rate"],
            "loss_type": "CE",
            "eval_args": {"order": "TO", "mode": "full"},
            "eval_batch_size": RANKED,
            "use_gpu": False,
            "seed": task["seed"],
        }
        return import_module("recbole.config").Config(
            model=model, dataset="log", config_dict=values | WIDTHS[model]
        )

    def trainer(self, model: str) -> Any:
        """A trainer with fresh weights."""
        utils, config = import_module("recbole.utils"), self.config(model)
        utils.init_seed(config["seed"], config["reproducibility"])
        made = utils.get_model(model)(config, self.train.dataset).to(config["device"])
        return utils.get_trainer(config["MODEL_TYPE"], model)(config, made)

    def speed(self, model: str) -> float:
        """Prefixes per second over the requested steps."""
        watch = Stopwatch()
        batches = stretch(self.train, self.task["warm_up"], self.task["steps"], watch)
        self.trainer(model)._train_epoch(batches, 0)
        return watch.samples / watch.seconds

    def curve(self, model: str) -> list[dict[str, float]]:
        """What each epoch took and gave, until one reaches the target or time is up."""
        trainer = self.trainer(model)
        training, evaluation = Stopwatch(), Stopwatch()
        told: list[dict[str, float]] = []
        for epoch in range(self.task["epochs"]):
            with training:
                trainer._train_epoch(self.train, epoch)
            with evaluation:
                value = self.recall(trainer.model)
            told.append(
                {
                    "epoch": epoch + 1,
                    "training_seconds": training.seconds,
                    "evaluation_seconds": evaluation.seconds,
                    f"recall@{K}": value,
                }
            )
            print(f"RecBole {model}: {told[-1]}", flush=True)
            if value >= self.task["target"] or training.seconds >= 60 * self.task["minutes"]:
                break
        return told

    @torch.inference_mode()
    def recall(self, model: Any) -> float:
        """Recall@K on the test."""
        model.eval()
        return recall(
            (model.full_sort_predict(batch).view(len(batch), -1), targets)
            for batch, _, _, targets in self.test
        )


def write_prefixes(path: Path, blocks: Iterable[Any]) -> int:
    """Write an atomic file of RecBole, a prefix and its target in each line; how many."""
    n = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("session_id:token\titem_id_list:token_seq\titem_id:token\n")
        for block in blocks:
            rows = zip(block.batch.items, block.batch.lengths, block.targets, strict=True)
            for items, length, target in rows:
                n += 1
                file.write(f"{n}\t{' '.join(map(str, items[:length].tolist()))}\t{target}\n")
    return n


def run_theirs(
    python: str, task: dict[str, Any], parts: Mapping[str, Iterable[Any]]
) -> dict[str, Any]:
    """Let RecBole do a task in a process of its own.

    Args:
        python: the one that has RecBole.
        task: what to measure, and how.
        parts: "train" and "test" to blocks of prefixes with their targets.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "log").mkdir()
        for part, blocks in parts.items():
            n = write_prefixes(folder / "log" / f"log.{part}.inter", blocks)
            print(f"{n} prefixes to {part}", flush=True)
        (folder / "task.json").write_text(json.dumps(task))
        # -I: `recbole.py` would hide the package of its name; RecBole writes into where it runs
        flags = ["-I", "-W", "ignore::FutureWarning"]
        files = [str(Path(__file__).resolve()), str(folder / "task.json")]
        command = [str(Path(python).absolute()), *flags, *files]
        if subprocess.run(command, cwd=folder, check=False).returncode:
            sys.exit("RecBole failed; see above")
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
        return answer


def main() -> None:
    """Do what the file that is named asks for, and write the answer beside it."""
    place = Path(sys.argv.pop())  # RecBole reads the command line, too
    task = json.loads(place.read_text())
    torch.set_num_threads(task["threads"])
    theirs = Theirs(task)
    answer: dict[str, Any] = {"version": import_module("recbole").__version__, "speed": {}}
    for model in task["models"]:
        answer["speed"][model] = theirs.speed(model)
        print(f"RecBole {model}: {answer['speed'][model]:,.0f} samples/s", flush=True)
    if task["epochs"] and "NARM" in task["models"]:
        answer["curve"] = {"NARM": theirs.curve("NARM")}
    answer["threads"] = torch.get_num_threads()
    place.with_name("answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
