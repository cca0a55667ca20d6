import errno
import fcntl
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nextclick import PrepareOptions, prepare, train
from nextclick.core import storage
from nextclick.core.manifests import write_manifest
from nextclick.core.storage import atomic_folder, fingerprint, restore_interrupted, write_json
from nextclick.data.options import FilterOptions
from nextclick.errors import OutputError
from nextclick.simulation.simulate import simulate_frame
from nextclick.simulation.simulation_config import SimulationConfig


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ours(folder, kind="test", **files):
    """A folder with a manifest that lists its files, as `atomic_folder` may replace it."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    write_manifest(folder, {"kind": kind})
    return folder


def replacing(target, kind="test"):
    return atomic_folder(target, overwrite=True, replaces=(kind,))


def write_version(folder, text):
    (folder / "a").write_text(text)
    write_manifest(folder, {"kind": "test"})


def test_a_folder_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "new" / "store"
    with atomic_folder(target) as scratch:
        (scratch / "a").write_text("1")
        assert not target.exists()
        assert scratch.parent == target.parent
    assert (target / "a").read_text() == "1"
    assert names(target.parent) == ["store"]
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o777 & ~mask
    assert (target / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "store") as scratch:
        (scratch / "a").write_text(str(1 / 0))
    assert names(tmp_path) == []


def test_ctrl_c_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "store"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_an_existing_folder_is_replaced_only_with_overwrite(tmp_path):
    target = ours(tmp_path / "store", a="1")
    message = "store already exists; choose another path or pass --overwrite"
    with pytest.raises(OutputError, match=message), atomic_folder(target):
        pass
    assert names(target) == ["a", "manifest.json"]
    with replacing(target) as scratch:
        (scratch / "new").write_text("y")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["store"]


def test_an_empty_folder_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    with atomic_folder(tmp_path / "store", overwrite=True) as scratch:
        (scratch / "new").write_text("y")
    assert names(tmp_path / "store") == ["new"]


def test_a_failure_while_replacing_keeps_the_previous_folder(tmp_path):
    target = ours(tmp_path / "store", a="1")
    with pytest.raises(ZeroDivisionError), replacing(target):
        raise ZeroDivisionError
    assert names(target) == ["a", "manifest.json"]
    assert names(tmp_path) == ["store"]


def test_a_folder_is_exchanged_in_one_call(tmp_path, monkeypatch):
    target = ours(tmp_path / "store", a="1")
    renamed = []
    monkeypatch.setattr(os, "rename", lambda *paths: renamed.append(paths))
    with replacing(target) as scratch:
        if not storage.exchange_folders(scratch, ours(tmp_path / "other")):
            pytest.skip("this file system cannot exchange folders")
        write_version(scratch, "2")
    assert (target / "a").read_text() == "2"
    assert (renamed, names(tmp_path)) == ([], ["other", "store"])


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("can_exchange", [False, True])
def test_all_files_are_synced_before_the_folder_is_moved(
    tmp_path, monkeypatch, existing, can_exchange
):
    target = tmp_path / "store"
    if existing:
        ours(target, a="1")
    events = []
    fsync, rename, exchange = os.fsync, os.rename, storage.exchange_folders

    def synced(handle):
        events.append(os.fstat(handle).st_ino)
        fsync(handle)

    def renamed(source, destination):
        events.append("move")
        rename(source, destination)

    def exchanged(first, second):
        if not can_exchange:
            return False
        events.append("move")
        return exchange(first, second)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(storage, "exchange_folders", exchanged)
    with replacing(target) as scratch:
        (scratch / "b").mkdir()
        write_version(scratch, "2")
        written = {path.stat().st_ino for path in [scratch, *scratch.rglob("*")]}
    assert written <= set(events[: events.index("move")])
    assert events[-1] == tmp_path.stat().st_ino, "the name is on the disk, too"


def cannot_exchange(first, second):
    return False


def test_ctrl_c_between_the_two_renames_restores_the_previous_folder(tmp_path, monkeypatch):
    target = ours(tmp_path / "store", a="1")
    rename = os.rename

    def interrupted(source, destination):
        if Path(source).suffix == ".part":
            raise KeyboardInterrupt
        rename(source, destination)

    monkeypatch.setattr(storage, "exchange_folders", cannot_exchange)
    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), replacing(target):
        pass
    assert (names(target), names(tmp_path)) == (["a", "manifest.json"], ["store"])


@pytest.mark.parametrize("next_run", ["read", "write", "refused write"])
def test_a_kill_between_the_two_renames_loses_nothing(tmp_path, next_run):
    target = tmp_path / "store"
    ours(tmp_path / ".store.nextclick.old", a="1")
    ours(tmp_path / ".store.nextclick.part", a="2")
    if next_run == "read":
        restore_interrupted(target)
    elif next_run == "write":
        with replacing(target) as scratch:
            assert (target / "a").read_text() == "1", "restored before anything is deleted"
            assert names(scratch) == []
            write_version(scratch, "3")
    else:
        with pytest.raises(OutputError, match="store already exists"), atomic_folder(target):
            pass
    assert (target / "a").read_text() == ("3" if next_run == "write" else "1")
    left = [".store.nextclick.part", "store"] if next_run == "read" else ["store"]
    assert names(tmp_path) == left


def test_a_reader_does_not_restore_while_a_writer_is_replacing(tmp_path):
    previous = ours(tmp_path / ".store.nextclick.old")
    lock = os.open(previous, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    restore_interrupted(tmp_path / "store")
    os.close(lock)
    assert names(tmp_path) == [previous.name]


@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_ctrl_c_while_the_folder_is_locked_leaves_nothing(tmp_path, monkeypatch, call):
    original = getattr(os, call)

    def interrupted(path, *args, **options):
        result = original(path, *args, **options)
        if str(path).endswith(".nextclick.part"):
            monkeypatch.setattr(os, call, original)
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "store"):
        pass
    assert names(tmp_path) == []


def test_a_second_writer_of_a_folder_is_refused(tmp_path):
    message = "store is being written by another process; wait until it ends, or choose another"
    with atomic_folder(tmp_path / "store") as scratch:
        write_version(scratch, "1")
        with (
            pytest.raises(OutputError, match=message),
            atomic_folder(tmp_path / "store"),
        ):
            pass
        assert names(scratch) == ["a", "manifest.json"]
    assert (tmp_path / "store" / "a").read_text() == "1"


def test_a_folder_that_appears_while_the_writer_waits_is_not_replaced(tmp_path, monkeypatch):
    lock_scratch = storage._lock_scratch

    def another_writer_first(scratch, target, held):
        ours(target, a="1")
        lock_scratch(scratch, target, held)

    monkeypatch.setattr(storage, "_lock_scratch", another_writer_first)
    with (
        pytest.raises(OutputError, match="store already exists"),
        atomic_folder(tmp_path / "store"),
    ):
        pass
    assert (names(tmp_path), names(tmp_path / "store")) == (["store"], ["a", "manifest.json"])


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_never_replaced(tmp_path, overwrite):
    target = tmp_path / "store"
    target.write_text("mine")
    message = "store is not a folder; choose another path"
    with pytest.raises(OutputError, match=message), atomic_folder(target, overwrite=overwrite):
        pass
    assert target.read_text() == "mine"


@pytest.mark.parametrize("target", [".", "..", "/"])
def test_the_current_folder_is_never_replaced(tmp_path, monkeypatch, target):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    message = "is the current folder or one of its parents; choose another path"
    with pytest.raises(OutputError, match=message), atomic_folder(Path(target), overwrite=True):
        pass
    assert names(tmp_path) == ["here"]


def photos(folder):
    folder.mkdir()
    (folder / "cat.jpg").write_text("cat")


def web_project(folder):
    (folder / "public").mkdir(parents=True)
    write_manifest(folder / "public", {"kind": "test"})
    (folder / "thesis.tex").write_text("x")


def with_notes(folder):
    ours(folder, a="1")
    (folder / "notes.txt").write_text("x")


def with_sub_artifact(folder):
    ours(folder, a="1")
    ours(folder / "b", a="1")


def with_empty_folder(folder):
    ours(folder, a="1")
    (folder / "b").mkdir()


def with_link(folder):
    ours(folder, a="1")
    (folder / "a").unlink()
    (folder / "a").symlink_to(folder.parent)


def of_web_application(folder):
    folder.mkdir()
    (folder / "manifest.json").write_text('{"name": "app", "icons": []}')


def of_older_version(folder):
    folder.mkdir()
    (folder / "manifest.json").write_text('{"kind": "test"}')


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (photos, "contains cat.jpg, which nextclick did not write, and is not overwritten"),
        (web_project, "contains public, which nextclick did not write"),
        (with_notes, "contains notes.txt, which nextclick did not write"),
        (with_sub_artifact, "contains b, which nextclick did not write"),
        (with_empty_folder, "contains b, which nextclick did not write"),
        (with_link, "contains a, which nextclick did not write"),
        (of_web_application, "contains manifest.json, which nextclick did not write"),
        (of_older_version, "was written by an older version, whose manifest does not list"),
        (
            lambda folder: ours(folder, "nextclick.registry"),
            "is a nextclick.registry and is not replaced",
        ),
    ],
)
def test_what_is_not_ours_is_never_replaced(tmp_path, make, message):
    target = tmp_path / "target"
    make(target)
    before = sorted(target.rglob("*"))
    with pytest.raises(OutputError, match=f"target {message}"), replacing(target):
        pass
    assert sorted(target.rglob("*")) == before
    assert names(tmp_path) == ["target"]


def test_a_file_added_while_the_folder_is_written_is_kept(tmp_path):
    target = ours(tmp_path / "store", a="1")
    with pytest.raises(OutputError, match=r"contains notes\.txt"), replacing(target):
        (target / "notes.txt").write_text("x")
    assert names(target) == ["a", "manifest.json", "notes.txt"]


def test_what_a_killed_writer_left_is_removed(tmp_path):
    ours(tmp_path / ".store.nextclick.part", a="half")
    ours(tmp_path / ".store.nextclick.old", a="old")
    ours(tmp_path / "store", a="1")
    with replacing(tmp_path / "store") as scratch:
        assert names(scratch) == []
    assert names(tmp_path) == ["store"]


def test_scratch_folders_of_other_targets_are_kept(tmp_path):
    others = [".store.2.nextclick.part", ".store.part", ".store.a1b2c3d4.part", ".store.backup.old"]
    for name in others:
        ours(tmp_path / name)
    with atomic_folder(tmp_path / "store"):
        pass
    assert names(tmp_path) == sorted([*others, "store"])


def test_a_link_in_the_place_of_the_scratch_folder_is_not_followed(tmp_path):
    ours(tmp_path / "elsewhere", a="1")
    (tmp_path / ".store.nextclick.part").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(OutputError, match="store: cannot be written: "),
        atomic_folder(tmp_path / "store"),
    ):
        pass
    assert names(tmp_path / "elsewhere") == ["a", "manifest.json"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "No space left on device; free some space or choose another disk"),
        (errno.EDQUOT, "free some space in the disk quota or choose another disk"),
        (errno.EFBIG, "raise the limit on file size"),
        (errno.EACCES, "Permission denied; choose a writable path"),
        (errno.EROFS, "choose a writable disk"),
        (errno.EMFILE, "Too many open files; close some files, or raise the limit with `ulimit"),
    ],
)
def test_an_os_error_becomes_an_output_error_with_a_remedy(tmp_path, code, message):
    pattern = r"store: cannot be written: .*" + message
    with pytest.raises(OutputError, match=pattern), atomic_folder(tmp_path / "store"):
        raise OSError(code, os.strerror(code))
    assert names(tmp_path) == []


def test_other_os_errors_are_not_converted(tmp_path):
    with pytest.raises(OSError, match="bad"), atomic_folder(tmp_path / "store"):
        raise OSError(errno.EIO, "bad")
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_during_sync(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="free some space"), atomic_folder(tmp_path / "store"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file/store", "choose a path inside a folder"),
        ("file/deeper/store", "choose a path inside a folder"),
        ("x" * 300, "choose a shorter name"),
    ],
)
def test_an_impossible_path_is_an_output_error(tmp_path, path, message):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=message), atomic_folder(tmp_path / path):
        pass
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_file_system_that_rejects_new_folders():
    with (
        pytest.raises(OutputError, match="/proc/store: cannot be written: "),
        atomic_folder(Path("/proc/store")),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission(tmp_path):
    tmp_path.chmod(0o500)
    with (
        pytest.raises(OutputError, match="choose a writable path"),
        atomic_folder(tmp_path / "store"),
    ):
        pass


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MiB."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    mounted = os.geteuid() == 0 and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount_point],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("needs permission to mount a file system")
    yield mount_point
    subprocess.run(["umount", "--lazy", mount_point], check=True)


def test_a_real_disk_that_fills_up(small_disk, tmp_path):
    log = simulate_frame(SimulationConfig(events=100_000, items=500, users=5_000, days=4))
    options = PrepareOptions(filters=FilterOptions(min_item_support=1))
    # 100,000 clicks of 12 bytes are more than 1 MiB
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        prepare(log, small_disk / "store", options=options)
    assert names(small_disk) == []
    store = prepare(log, tmp_path / "store", options=options).store
    np.save(small_disk / "filler.npy", np.zeros(126_000))
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        train(store, "item-knn", small_disk / "model")
    assert names(small_disk) == ["filler.npy"]


def test_the_fingerprint_depends_on_arrays_and_their_names(tmp_path):
    (tmp_path / "train").mkdir()
    np.save(tmp_path / "train" / "items.npy", np.arange(3))
    first = fingerprint(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    assert fingerprint(tmp_path) == first
    np.save(tmp_path / "train" / "items.npy", np.arange(3) + 1)
    assert fingerprint(tmp_path) != first
    np.save(tmp_path / "train" / "items.npy", np.arange(3))
    (tmp_path / "train" / "items.npy").rename(tmp_path / "train" / "times.npy")
    assert fingerprint(tmp_path) != first
    assert fingerprint(tmp_path) != fingerprint(tmp_path, 7)


def test_json_is_written_atomically(tmp_path):
    write_json(tmp_path / "a.json", {"é": 1})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "é": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == ["a.json"]
    with pytest.raises(OutputError, match=r"cannot be written: .*choose a path inside a folder"):
        write_json(tmp_path / "a.json" / "b.json", {})
