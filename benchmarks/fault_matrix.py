"""Measure what the commands do with damaged, foreign and interrupted folders.

    python benchmarks/fault_matrix.py
    python benchmarks/fault_matrix.py --only kill-between-renames
    python benchmarks/fault_matrix.py --source OTHER-CLONE/src

Each fault is built in a temporary folder by the commands themselves, so that any version of the
source can be measured. A changed file is given a valid digest if the version has digests, except
for the flipped bits. Each row has the exit code, what is left afterwards, and the message. Some
faults need strace, or the right to mount a file system; without it, the row says so.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from process_faults import PROCESS_FAULTS
from stored_shop import SESSION, Ended, Row, Shop, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

_FLIPS = 8  # of each kind of file
_MANY = 10**12


def main() -> None:
    """Print a table with one row for each fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, help="src folder; default: the installed package")
    parser.add_argument("--only", choices=FAULTS, help="measure a single fault")
    options = parser.parse_args()
    print("| fault | command | exit code | left | message |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="nextclick-faults-") as place:
        first = Shop(Path(place) / "shop", options.source)
        first.folder.mkdir()
        first.build()
        for name in [options.only] if options.only else FAULTS:
            shop = Shop(first.copy(".", f"../{name}"), options.source)
            row = FAULTS[name](shop)
            cells = (row.command, row.exit, row.left, shortened(row.message, shop.folder))
            print(f"| {name} | `{cells[0]}` | {' | '.join(cells[1:])} |", flush=True)


def _large_index(shop: Shop) -> Row:
    def change(array: Any) -> None:
        array[:] = 2**30

    shop.change_weights(shop.folder / "knn", "item_sessions", change)
    return shop.row("recommend", "knn", "-s", SESSION)


def _flips_in_artifact(shop: Shop, file: str) -> Row:
    def answer() -> tuple[Ended, str]:
        ended = shop.run("recommend", "pop", "-s", SESSION, "-k", "90", "--json")
        found = json.loads(ended.output) if ended.code == 0 else {}
        return ended, str((found.get("items"), found.get("scores")))

    return _flips(shop, [f"pop/{file}"], answer, f"recommend pop -s {SESSION} -k 90")


def _flips_in_store(shop: Shop) -> Row:
    def answer() -> tuple[Ended, str]:
        command = ("train", "store", "-m", "item-knn", "--overwrite", "-o", "trained")
        ended = shop.run(*command)
        weights = shop.folder / "trained" / "weights.safetensors"
        return ended, str(weights.read_bytes()) if ended.code == 0 else ""

    files = [f"store/train/{name}.npy" for name in ("items", "offsets")]
    return _flips(shop, files, answer, "train store -m item-knn -o trained")


def _flips(
    shop: Shop, files: list[str], answer: Callable[[], tuple[Ended, str]], command: str
) -> Row:
    """Flip single bits of the content of arrays, and compare the answer with the intact one."""
    intact_run, expected = answer()
    if intact_run.code != 0:
        raise SystemExit(f"{command} fails without a fault: {intact_run.message}")
    counts, message = Counter[str](), ""
    rng = np.random.default_rng(5)
    for number in range(_FLIPS):
        path = shop.folder / files[number % len(files)]
        intact = path.read_bytes()
        content = bytearray(intact)
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        ended, found = answer()
        if ended.code == 0:
            outcome = "same answer" if found == expected else "wrong answer"
        else:
            outcome = {2: "refused", 1: "traceback"}.get(ended.code, "ended by a signal")
            message = ended.message
        counts[outcome] += 1
        path.write_bytes(intact)
    return Row(command, ", ".join(f"{n} {name}" for name, n in counts.items()), "", message)


def _store_array(name: str, value: int) -> Callable[[Shop], Row]:
    def fault(shop: Shop) -> Row:
        def change(array: Any) -> None:
            array[len(array) // 2] = value

        shop.change_array(shop.folder / "store" / "train" / f"{name}.npy", change)
        return shop.row("train", "store", "-m", "item-knn", "-o", "trained")

    return fault


def _manifest(**fields: Any) -> Callable[[Shop], Row]:
    """Give the manifest of the artifact other fields and a valid digest."""

    def fault(shop: Shop) -> Row:
        shop.rewrite_manifest(shop.folder / "knn", **fields)
        return shop.row("recommend", "knn", "-s", SESSION)

    return fault


def _manifest_text(pattern: str, text: str) -> Callable[[Shop], Row]:
    """Replace text of the manifest of the artifact, which JSON writers do not produce."""

    def fault(shop: Shop) -> Row:
        file = shop.folder / "knn" / "manifest.json"
        file.write_text(re.sub(pattern, text, file.read_text(), count=1, flags=re.DOTALL))
        return shop.row("recommend", "knn", "-s", SESSION)

    return fault


def _array_header(shop: Shop) -> Row:
    file = shop.folder / "knn" / "items" / "support.npy"
    array = np.load(file)
    with file.open("wb") as stream:
        header = {"descr": "<i8", "fortran_order": False, "shape": (_MANY,)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(array.tobytes())
    shop.rewrite_manifest(shop.folder / "knn")
    return shop.row("recommend", "knn", "-s", SESSION)


FAULTS: dict[str, Callable[[Shop], Row]] = {
    **PROCESS_FAULTS,
    "large-index": _large_index,
    "flipped-bits-weights": partial(_flips_in_artifact, file="weights.safetensors"),
    "flipped-bits-ids": partial(_flips_in_artifact, file="items/ids.npy"),
    "flipped-bits-store": _flips_in_store,
    "store-items": _store_array("items", 2**30),
    "store-offsets": _store_array("offsets", 2**40),
    "manifest-n-items": _manifest(n_items=_MANY),
    "manifest-config": _manifest(config=[]),
    "manifest-nesting": _manifest_text(r"\{", '{"x": ' + "[" * 100_000 + "]" * 100_000 + ","),
    "manifest-version": _manifest_text(r'"format_version": \d+', '"format_version": 1e400'),
    "array-header": _array_header,
}


if __name__ == "__main__":
    main()
