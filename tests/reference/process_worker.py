"""Scenarios that run in each of several processes; `python process_worker.py FOLDER NAME...`.

FOLDER/RANK.json receives what each scenario returns, by name.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import torch

import nextclick
from nextclick.core.processes import joined_processes, launched
from nextclick.errors import ConfigError, NextclickError
from nextclick.models.sharding.remote_tensors import RemoteRows, RemoteTensors
from nextclick.training.loop import TrainingLoop
from nextclick.training.training_config import NeuralOptions

LOSSLESS = {"epochs": 2, "batch_size": 48, "threads": 1, "patience": 5}
_NO_DROPOUT = {"dropout": 0, "output_dropout": 0}
# without dropout the result does not depend on the number of processes
TRAININGS = {
    "narm": ("narm", LOSSLESS | {"embedding_dropout": 0, "output_dropout": 0}),
    "narm-sparse": (
        "narm",
        LOSSLESS
        | {"embedding_dropout": 0, "output_dropout": 0, "loss": "sampled", "negatives": 40}
        | {"full_softmax_items": 0, "sparse": True, "clip": 1.0, "in_batch": True},
    ),
    "asars": (
        "asars",
        LOSSLESS
        | _NO_DROPOUT
        | {"variant": "time_user", "user_dropout": 0, "time_dropout": 0, "history": "none"},
    ),
    "asars-hinge": (
        "asars",
        LOSSLESS
        | _NO_DROPOUT
        | {"variant": "time_user", "user_dropout": 0, "time_dropout": 0, "gap": "elapsed"}
        | {"loss": "hinge", "negatives": 3, "negative_source": "batch", "reject": "history"}
        | {"full_softmax_items": 0, "optimizer": "adam", "learning_rate": 0.001},
    ),
    "sr-gnn": ("sr-gnn", LOSSLESS),
    "gru4rec": (
        "gru4rec",
        LOSSLESS
        | {"order": "lanes", "hidden_dropout": 0, "loss": "bpr-max", "negatives": 20}
        | {"score_activation": "elu", "in_batch": True, "sparse": True, "optimizer": "adagrad"}
        | {"learning_rate": 0.05, "momentum": 0.2, "full_softmax_items": 0, "batch_size": 15},
    ),
    "cosine-gru": (
        "cosine-gru",
        LOSSLESS
        | {"dropout": 0, "item_dropout": 0, "full_softmax_items": 0, "negatives": 60}
        | {"choose_order": False, "width": 32},
    ),
}

_SAMPLED = LOSSLESS | {
    "batch_size": 128,
    "full_softmax_items": 0,
    "negatives": 40,
    "loss": "sampled",
    "sparse": True,
}
# also with split item tables
SPLIT = {
    "split-narm": (
        "narm",
        _SAMPLED
        | {"embedding_dropout": 0, "output_dropout": 0, "decoder": "full"}
        | {"clip": 1.0, "in_batch": True},
    ),
    "split-gru4rec": (
        "gru4rec",
        _SAMPLED
        | {"hidden_dropout": 0, "embedding": "separate", "optimizer": "adagrad"}
        | {"loss": "bpr-max", "learning_rate": 0.05, "momentum": 0.2, "order": "sessions"},
    ),
    "split-asars": (
        "asars",
        _SAMPLED
        | _NO_DROPOUT
        | {"user_dropout": 0, "time_dropout": 0, "history": "all"}
        # Adam makes steps of one length of the gradients near 0 that its decays have
        | {"optimizer": "sgd", "learning_rate": 0.5},
    ),
    "split-sasrec": ("sasrec", _SAMPLED | {"dropout": 0}),
    "split-stamp": ("stamp", _SAMPLED),
    "split-cosine-gru": (
        "cosine-gru",
        _SAMPLED | {"dropout": 0, "item_dropout": 0, "choose_order": False, "width": 32},
    ),
}


def train_split(folder, name):
    """As `train`; the artifact is written as well."""
    (model, config), n = SPLIT[name], launched().size
    options = NeuralOptions(shard_items=n > 1)
    artifact = nextclick.train(
        folder / "store", model, folder / f"{name}-{n}", config=config, train_on="inner", seed=3,
        neural=options,
    )  # fmt: skip
    return [(epoch["loss"], epoch["recall@20"]) for epoch in artifact.trained["history"]]


def train(folder, name):
    """The loss and the metric of each epoch."""
    model, config = TRAININGS[name]
    artifact = nextclick.train(folder / "store", model, config=config, train_on="inner", seed=3)
    return [(epoch["loss"], epoch["recall@20"]) for epoch in artifact.trained["history"]]


def evaluate(folder, name):
    """The result of an artifact, without times."""
    result = nextclick.evaluate(folder / name, folder / "store", n_bootstrap=50, by=("popularity",))
    return timeless(result.to_json())


def timeless(document):
    """A document without what depends on the clock."""
    if isinstance(document, dict):
        dropped = ("seconds", "queries_per_second", "training_seconds")
        return {n: timeless(value) for n, value in document.items() if n not in dropped}
    return [timeless(value) for value in document] if isinstance(document, list) else document


def error_of(work):
    """The type and the text of the error of a function, or its result."""
    try:
        return work()
    except NextclickError as error:
        return [type(error).__name__, str(error)]


def exchanges(folder, name):
    """What the methods of `Processes` return and raise."""
    with joined_processes() as processes:
        rank = processes.rank

        def fail_in(failing):
            if rank == failing:
                raise ConfigError(f"wrong in {rank}")
            return rank

        return {
            "gathered": processes.gather(rank * 10),
            "from_first": processes.from_first(rank),
            "on_first": processes.on_first(lambda: rank),
            "on_first_fails": error_of(lambda: processes.on_first(lambda: fail_in(0))),
            "agreed": processes.agree(lambda: rank),
            "fails_in_0": error_of(lambda: processes.agree(lambda: fail_in(0))),
            "fails_in_1": error_of(lambda: processes.agree(lambda: fail_in(1))),
            "equal": processes.check_equal({"the seed": 1}),
            "unequal": error_of(lambda: processes.check_equal({"a": 1, "the seed": rank})),
            "cpus": __import__("nextclick.core.hardware").core.hardware.cpus(),
        }


def gradients(folder, name):
    """Sums of dense and sparse gradients, of which a process may lack some."""
    from nextclick.training.gradient_exchange import GradientExchange, Requests

    class Trained:
        def __init__(self, named, tables):
            self.named, self.tables, self.shards = named, tables, None

    dense, unused, table, bias = (
        torch.nn.Parameter(torch.zeros(shape)) for shape in (3, 2, (6, 2), 6)
    )
    with joined_processes() as processes:
        named = [("dense", dense), ("unused", unused), ("table", table), ("bias", bias)]
        exchange = GradientExchange(Trained(named, {id(table), id(bias)}), processes)
        if processes.rank == 0:
            dense.grad = torch.tensor([1.0, 2.0, 3.0])
            table.grad = torch.sparse_coo_tensor([[4, 1, 4]], torch.ones(3, 2), (6, 2))
        else:
            table.grad = torch.sparse_coo_tensor([[1]], 5 * torch.ones(1, 2), (6, 2))
            bias.grad = torch.sparse_coo_tensor([[2]], torch.tensor([7.0]), (6,))
        loss, requests = exchange.sum(
            torch.tensor(0.25 + processes.rank), Requests(save=processes.rank == 1)
        )
    return {
        "dense": dense.grad.tolist(),
        "unused": unused.grad,
        "table": table.grad.to_dense().tolist(),
        "entries": table.grad._nnz(),
        "bias": bias.grad.to_dense().tolist(),
        "loss": float(loss),
        "requests": [requests.interrupt, requests.save, requests.stop],
    }


def leave(folder, name):
    """Process 1 ends without a word; the others wait for it."""
    with joined_processes() as processes:
        if processes.rank == 1:
            os._exit(0)
        return error_of(lambda: processes.gather(np.zeros(3)))


def remote_tensors(folder, name):
    """What process 0 reads of the tensors of two processes, and what it wrote into them."""
    with joined_processes() as processes:
        own = {
            "numbers": torch.arange(5 + processes.rank).view(-1, 1) + 10 * processes.rank,
            "flags": torch.tensor([True, False, True]),
        }
        if processes.rank == 1:
            own["more"] = torch.zeros(0, 3)
        tensors = RemoteTensors(own, processes)

        def work():
            rows = RemoteRows(tensors, range(2), "numbers")
            read = np.concatenate(list(rows.blocks())).ravel().tolist()
            new = torch.tensor([False, True, False])
            tensors.write(1, "flags", lambda begin, end: new[begin:end])
            return [list(rows.shape), read, len(list(tensors.read(1, "more")))]

        def fail():
            next(tensors.read(1, "numbers"))
            raise ConfigError("wrong while reading")

        return {
            "read": tensors.on_first(work),
            "flags": own["flags"].tolist(),
            "error": error_of(lambda: tensors.on_first(fail)),
        }


def resumed(folder, name):
    """The weights of an interrupted and resumed training, and of one without an interruption."""
    model, config = "sasrec", SPLIT["split-sasrec"][1] | {"dropout": 0.2}

    def trained(output, resume=False):
        options = NeuralOptions(shard_items=True, resume=resume)
        nextclick.train(
            folder / "store", model, folder / output, config=config, seed=5, neural=options
        )
        return (folder / output / "weights.safetensors").read_bytes().hex()

    whole = trained("whole")
    save = TrainingLoop._save_if_due

    def interrupt(loop):
        loop.interrupt.requested = launched().rank == 1 and loop.position.total_steps == 25
        save(loop)

    TrainingLoop._save_if_due = interrupt
    error = error_of(lambda: trained("resumed"))
    TrainingLoop._save_if_due = save
    path = folder / "resumed.training" / "choose" / "checkpoint"
    if launched().rank == 0:
        shutil.copytree(folder / "resumed.training", folder / "copy.training")
    files = sorted(file.name for file in path.iterdir())
    other = error_of(
        lambda: nextclick.train(
            folder / "store", model, folder / "resumed", config=config, seed=5,
            neural=NeuralOptions(resume=True),
        )
    )  # fmt: skip
    return {
        "error": error,
        "files": files,
        "without_option": other,
        "equal": trained("resumed", resume=True) == whole,
    }


def resumed_by_three(folder, name):
    """The error of three processes that resume the training of two."""
    model, config = "sasrec", SPLIT["split-sasrec"][1] | {"dropout": 0.2}
    options = NeuralOptions(shard_items=True, resume=True)
    return error_of(
        lambda: nextclick.train(
            folder / "store", model, folder / "copy", config=config, seed=5, neural=options
        )
    )


def evaluate_split(folder, name):
    """The result of an artifact whose item table is split."""
    result = nextclick.evaluate(
        folder / name.removeprefix("evaluate-"), folder / "store", n_bootstrap=0,
        shard_items=launched().are_several,
    )  # fmt: skip
    return timeless(result.to_json())


SCENARIOS = {
    "exchanges": exchanges,
    "gradients": gradients,
    "leave": leave,
    "remote-tensors": remote_tensors,
    "resumed": resumed,
    "resumed-by-three": resumed_by_three,
    "evaluate-split-asars-2": evaluate_split,
    "evaluate-split-cosine-gru-2": evaluate_split,
}

if __name__ == "__main__":
    path = Path(sys.argv[1])
    found = {}
    for scenario in sys.argv[2:]:
        if scenario in SPLIT:
            found[scenario] = train_split(path, scenario)
        elif scenario in TRAININGS:
            found[scenario] = train(path, scenario)
        else:
            found[scenario] = SCENARIOS.get(scenario, evaluate)(path, scenario)
    (path / f"{os.environ['RANK']}.json").write_text(json.dumps(found))
    os._exit(0)  # as the program: threads of the connections may abort a normal end
