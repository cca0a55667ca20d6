"""Faults around the commands: folders to overwrite, kills, a full disk, links, and the network.

`fault_matrix.py` imports it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from stored_shop import Ended, Row, Shop

if TYPE_CHECKING:
    from collections.abc import Callable

_TRAIN = ("train", "store", "-m", "pop", "--overwrite", "-o")


def _overwrite_web_project(shop: Shop) -> Row:
    (shop.folder / "site" / "public").mkdir(parents=True)
    (shop.folder / "site" / "public" / "manifest.json").write_text('{"name": "app"}')
    return _overwrites(shop, "site", "thesis.tex")


def _overwrite_registry(shop: Shop) -> Row:
    for _ in range(2):
        shop.run("publish", "knn", "registry")
    return shop.row(*_TRAIN, "registry", left=lambda: _versions(shop))


def _overwrite_two_artifacts(shop: Shop) -> Row:
    shop.copy("knn", "models/knn")
    shop.copy("pop", "models/pop")
    return _overwrites(shop, "models", "notes.md")


def _overwrites(shop: Shop, folder: str, foreign: str) -> Row:
    file = shop.folder / folder / foreign
    file.write_text("written by hand")
    return shop.row(
        *_TRAIN, folder, left=lambda: f"{foreign} {'kept' if file.exists() else 'deleted'}"
    )


def _versions(shop: Shop) -> str:
    count = len(list(shop.folder.glob("registry/versions/v*")))
    return f"{count} of 2 versions kept"


def _kill_at_exchange(shop: Shop) -> Row:
    return _killed(shop, "-e", "inject=rename:signal=KILL:when=2", "-e",
                   "inject=renameat2:signal=KILL")  # fmt: skip


def _kill_between_renames(shop: Shop) -> Row:
    return _killed(shop, "-e", "inject=rename:signal=KILL:when=2", "-e",
                   "inject=renameat2:error=EINVAL")  # fmt: skip


def _killed(shop: Shop, *faults: str) -> Row:
    """Kill a training at the second rename of its output, or when it exchanges two folders."""
    command = " ".join((*_TRAIN, "knn"))
    if shutil.which("strace") is None:
        return Row(command, "skipped: no strace")
    strace = ("strace", "-f", "-qq", "-o", os.devnull, *faults)
    ended = shop.run(*_TRAIN, "knn", before=strace)
    return Row(command, ended.exit, f"knn {shop.loads('knn')}")


def _disk_full(shop: Shop) -> Row:
    registry = shop.folder / "disk" / "registry"
    command = ("publish", "knn", "disk/registry")
    registry.parent.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(registry.parent))
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        return Row(" ".join(command), "skipped: no file system can be mounted")
    try:
        shop.run("publish", "pop", "disk/registry")
        with suppress(OSError), (registry.parent / "filler").open("wb", buffering=0) as filler:
            while shutil.disk_usage(registry.parent).free > 1 << 14:
                filler.write(bytes(1 << 12))

        def left() -> str:
            parts = len(list(registry.rglob("*.part")))
            return f"v1 {shop.loads('disk/registry')}, {parts} partial folders"

        return shop.row(*command, left=left)
    finally:
        subprocess.run(["umount", "-l", str(registry.parent)], check=True)


def _two_preparations(shop: Shop) -> Row:
    command = ("prepare", "clicks.csv", "-o", "prepared")
    running = [shop.start(*command) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in running]
    ended = [
        Ended(process.returncode, "", error) for process, error in zip(running, errors, strict=True)
    ]
    codes = sorted(one.exit for one in ended)
    message = next((one.message for one in ended if one.code != 0), "")
    parts = len(list(shop.folder.glob(".prepared*")))
    check = shop.run("train", "prepared", "-m", "pop", "-o", "trained")
    usable = "usable" if check.code == 0 else "not usable"
    return Row(" ".join(command), " and ".join(codes),
               f"store {usable}, {parts} partial folders", message)  # fmt: skip


def _symbolic_link(shop: Shop) -> Row:
    secret = shop.folder / "secret.txt"
    secret.write_text("secret")
    (shop.folder / "knn" / "link.txt").symlink_to(secret)

    def left() -> str:
        copies = [
            path for path in shop.folder.glob("registry/versions/*/*") if path.name == "link.txt"
        ]
        return "the file behind the link is published" if copies else "nothing of it is published"

    return shop.row("publish", "knn", "registry", left=left)


def _all_interfaces(shop: Shop) -> Row:
    with shop.served("pop", "--host", "0.0.0.0") as (address, ended):
        command = "serve pop --host 0.0.0.0"
        if ended is not None:
            return Row(command, ended.exit, "not serving", ended.message)
        return Row(command, "-", f"serving on {str(address).split(':')[0]}")


def _lower_case_bearer(shop: Shop) -> Row:
    (shop.folder / "token").write_text("secret-token-of-a-drill-0123456789abcdef")
    with shop.served("pop", "--token-file", "token") as (address, _):
        connection = HTTPConnection(str(address), timeout=10)
        token = (shop.folder / "token").read_text()
        status, until = 503, time.monotonic() + 60
        while status == 503 and time.monotonic() < until:  # until the model is loaded
            connection.request(
                "GET", "/v1/sessions/drill", headers={"Authorization": f"bearer {token}"}
            )
            response = connection.getresponse()
            status = response.status
            response.read()
            time.sleep(0.1)
        connection.close()
    accepted = {401: "token refused"}.get(status, "token accepted")
    return Row("serve pop --token-file token", f"status {status}", accepted)


def _address_space(shop: Shop) -> Row:
    ended = shop.run("models", before=("bash", "-c", 'ulimit -v 300000; exec "$@"', "bash"))
    lines = len(ended.errors.strip().splitlines())
    return Row("ulimit -v 300000; nextclick models", ended.exit, f"{lines} lines", ended.message)


PROCESS_FAULTS: dict[str, Callable[[Shop], Row]] = {
    "overwrite-web-project": _overwrite_web_project,
    "overwrite-registry": _overwrite_registry,
    "overwrite-two-artifacts": _overwrite_two_artifacts,
    "kill-at-exchange": _kill_at_exchange,
    "kill-between-renames": _kill_between_renames,
    "disk-full": _disk_full,
    "two-preparations": _two_preparations,
    "symbolic-link": _symbolic_link,
    "all-interfaces": _all_interfaces,
    "lower-case-bearer": _lower_case_bearer,
    "address-space": _address_space,
}
