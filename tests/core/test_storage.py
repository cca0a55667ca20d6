import errno
import fcntl
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nextclick import PrepareOptions, prepare, train
from nextclick.core.storage import atomic_folder, fingerprint, remove_leftovers, write_json
from nextclick.data.options import FilterOptions
from nextclick.errors import OutputError
from nextclick.simulation.simulate import simulate_frame
from nextclick.simulation.simulation_config import SimulationConfig


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def leftover(parent, name, suffix=".part"):
    folder = parent / f".{name}.a1b2c3d4{suffix}"
    folder.mkdir()
    (folder / "half.npy").write_bytes(b"half")
    return folder


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
    target = tmp_path / "store"
    target.mkdir()
    (target / "manifest.json").write_text("x")
    message = "store already exists; choose another path or pass --overwrite"
    with pytest.raises(OutputError, match=message), atomic_folder(target):
        pass
    assert names(target) == ["manifest.json"]
    with atomic_folder(target, overwrite=True) as scratch:
        (scratch / "new").write_text("y")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["store"]


def test_a_failure_while_replacing_keeps_the_previous_folder(tmp_path):
    target = tmp_path / "store"
    target.mkdir()
    (target / "manifest.json").write_text("x")
    with pytest.raises(ZeroDivisionError), atomic_folder(target, overwrite=True):
        raise ZeroDivisionError
    assert names(target) == ["manifest.json"]
    assert names(tmp_path) == ["store"]


def test_ctrl_c_between_the_two_renames_restores_the_previous_folder(tmp_path, monkeypatch):
    target = tmp_path / "store"
    target.mkdir()
    (target / "manifest.json").write_text("x")
    rename = Path.rename

    def interrupted(self, destination):
        if self.suffix == ".part":
            raise KeyboardInterrupt
        return rename(self, destination)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(target, overwrite=True):
        pass
    assert (names(target), names(tmp_path)) == (["manifest.json"], ["store"])


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


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    message = "photos contains files that nextclick did not write and is not overwritten"
    with (
        pytest.raises(OutputError, match=message),
        atomic_folder(tmp_path / "photos", overwrite=True),
    ):
        pass
    assert names(tmp_path / "photos") == ["cat.jpg"]


def test_leftovers_of_killed_writers_are_removed_and_running_writers_keep_theirs(tmp_path):
    dead, dead_old = leftover(tmp_path, "store"), tmp_path / ".store.00000000.old"
    dead_old.mkdir()
    alive = tmp_path / ".store.e5f6a7b8.part"
    alive.mkdir()
    lock = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with atomic_folder(tmp_path / "store"):
            pass
    finally:
        os.close(lock)
    assert not dead.exists()
    assert not dead_old.exists()
    assert names(tmp_path) == [alive.name, "store"]
    remove_leftovers(tmp_path / "store")
    assert names(tmp_path) == ["store"]


def test_scratch_folders_of_other_targets_are_kept(tmp_path):
    others = [leftover(tmp_path, "store.2"), tmp_path / ".store.backup.old", tmp_path / ".store.x"]
    for folder in others:
        folder.mkdir(exist_ok=True)
    remove_leftovers(tmp_path / "store")
    assert names(tmp_path) == sorted(folder.name for folder in others)


def test_a_name_with_pattern_characters_is_matched_literally(tmp_path):
    leftover(tmp_path, "store[1]*")
    leftover(tmp_path, "store1x")
    remove_leftovers(tmp_path / "store[1]*")
    assert names(tmp_path) == [".store1x.a1b2c3d4.part"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "No space left on device; free some space or choose another disk"),
        (errno.EDQUOT, "free some space in the disk quota or choose another disk"),
        (errno.EFBIG, "raise the limit on file size"),
        (errno.EACCES, "Permission denied; choose a writable path"),
        (errno.EROFS, "choose a writable disk"),
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
