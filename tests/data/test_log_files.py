import gzip
import os
import threading
import zipfile

import polars as pl
import pytest

from nextclick.data.options import ReadOptions
from nextclick.data.readers.formats import LOG_FORMATS, TABLE_SUFFIXES
from nextclick.data.readers.log_files import find_files, skip_empty
from nextclick.data.readers.open_file import scan_file
from nextclick.errors import SourceError

HEADER = "session_id,item_id,timestamp\n"


def labels(folder, *patterns):
    files = find_files(patterns or [folder], TABLE_SUFFIXES)
    return [file.label.removeprefix(f"{folder}/") for file in files]


def make(folder, *names, text=HEADER):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_files_folders_and_globs(tmp_path):
    make(tmp_path, "b.csv", "a.csv.gz", "c.PARQUET", ".hidden.csv", "readme.md", "deep.csv/d.csv")
    assert labels(tmp_path) == ["a.csv.gz", "b.csv", "c.PARQUET"]
    assert labels(tmp_path, str(tmp_path / "[bc]*")) == ["b.csv", "c.PARQUET"]
    assert labels(tmp_path, tmp_path / "readme.md") == ["readme.md"]
    assert labels(tmp_path, tmp_path / "b.csv", tmp_path, tmp_path / "b.csv") == [
        "b.csv",
        "a.csv.gz",
        "c.PARQUET",
    ]
    make(tmp_path, "odd[1].csv")
    assert labels(tmp_path, tmp_path / "odd[1].csv") == ["odd[1].csv"]


def test_files_that_are_not_data_are_ignored_in_a_folder(tmp_path):
    make(
        tmp_path, "a.csv", "README.txt", "_SUCCESS", "_metadata", "a.csv.crc", "LICENSE", "._a.csv"
    )
    make(tmp_path, "__MACOSX/._a.csv", "_temporary/b.csv", "old/b.csv")
    assert labels(tmp_path) == ["a.csv"]


def test_a_folder_without_known_suffixes_is_chosen_by_content(tmp_path):
    make(tmp_path, "part-0000", "part-0001", "README")
    (tmp_path / "manual").write_bytes(b"%PDF-1.7")
    (tmp_path / "part-0002").write_bytes(gzip.compress(HEADER.encode()))
    assert labels(tmp_path) == ["part-0000", "part-0001", "part-0002"]


def test_a_folder_of_folders_is_searched(tmp_path):
    make(tmp_path, "2026/02/a.csv", "2026/01/b.csv", "2025/c.csv")
    assert labels(tmp_path) == ["2025/c.csv", "2026/01/b.csv", "2026/02/a.csv"]
    (tmp_path / "2026" / "again").symlink_to(tmp_path)
    assert labels(tmp_path) == ["2025/c.csv", "2026/01/b.csv", "2026/02/a.csv"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", r"none\.csv: no such file or folder; check the path or the glob pattern"),
        ("*.nothing", r"\*\.nothing: no such file or folder; check the path or the"),
        ("empty", r"empty: no file in this folder ends in \.csv, .* or holds a table; pass the"),
        ("a.csv", r"a\.csv: no file in this folder ends in"),
    ],
)
def test_a_path_without_a_file_is_rejected(tmp_path, path, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(SourceError, match=message):
        find_files([tmp_path / path], TABLE_SUFFIXES)


@pytest.mark.parametrize("pattern", ["log", "log/*", "log/*/*.csv", "log/**/*.csv"])
def test_names_of_folders_are_columns(tmp_path, pattern):
    make(tmp_path, "log/date=2026-01-01/shop=a%2Fb/p.csv", text=HEADER + "s,i,1\n")
    make(
        tmp_path,
        "log/date=2026-01-02/shop=__HIVE_DEFAULT_PARTITION__/p.csv",
        text=HEADER + "s,i,1\n",
    )
    if pattern == "log/*/*.csv":
        pattern = "log/*/*/*.csv"
    files = find_files([str(tmp_path / pattern)], TABLE_SUFFIXES)
    sources = [scan_file(file) for file in files]
    assert sources[0].columns == ("session_id", "item_id", "timestamp", "date", "shop")
    rows = [source.head(["date", "shop", "item_id"], 9).row(0) for source in sources]
    assert rows == [("2026-01-01", "a/b", "i"), ("2026-01-02", None, "i")]


def test_a_column_of_the_file_wins_over_the_name_of_its_folder(tmp_path):
    folder = tmp_path / "log" / "item_id=9"
    folder.mkdir(parents=True)
    pl.DataFrame({"item_id": [1], "x": [2]}).write_parquet(folder / "a.parquet")
    (file,) = find_files([tmp_path / "log"], TABLE_SUFFIXES)
    assert scan_file(file).head(["item_id"], 9).rows() == [(1,)]


def test_empty_files_among_others_are_skipped_with_a_note(tmp_path):
    make(tmp_path, "b.csv", text=HEADER + "s,i,1\n")
    make(tmp_path, "a.csv", text="")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b""))
    (source,) = LOG_FORMATS["table"].sources([tmp_path], ReadOptions())
    assert source.label == str(tmp_path / "b.csv")
    assert source.notes == (
        f"{tmp_path / 'a.csv'}: the file is empty and was skipped",
        f"{tmp_path / 'c.csv.gz'}: the file is empty and was skipped",
    )
    only_empty = find_files([tmp_path / "a.csv"], TABLE_SUFFIXES)
    assert skip_empty(only_empty) == (only_empty, ())
    with pytest.raises(SourceError, match=r"a\.csv: the file is empty"):
        LOG_FORMATS["table"].sources([tmp_path / "a.csv"], ReadOptions())


def zip_file(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_the_files_of_a_zip_archive_are_sources(tmp_path):
    zip_file(
        tmp_path / "a.zip",
        {
            "log/date=2026-01-02/b.csv.gz": gzip.compress(HEADER.encode() + b"s2,i2,2\n"),
            "log/date=2026-01-01/a.csv": HEADER + "s1,i1,1\n",
            "__MACOSX/log/._a.csv": "binary",
            "README.txt": "about",
            "notes.pdf": b"%PDF-1.7",
        },
    )
    files = find_files([tmp_path], TABLE_SUFFIXES)
    assert [file.label for file in files] == [
        f"{tmp_path}/a.zip!log/date=2026-01-01/a.csv",
        f"{tmp_path}/a.zip!log/date=2026-01-02/b.csv.gz",
    ]
    assert [file.name for file in files] == ["a.csv", "b.csv.gz"]
    rows = [scan_file(file).head(["session_id", "date"], 9).row(0) for file in files]
    assert rows == [("s1", "2026-01-01"), ("s2", "2026-01-02")]


def test_a_parquet_file_in_a_zip_archive_in_another_is_read(tmp_path):
    pl.DataFrame({"item_id": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    zip_file(tmp_path / "inner.zip", {"data": (tmp_path / "a.parquet").read_bytes()})
    zip_file(tmp_path / "outer", {"inner.zip": (tmp_path / "inner.zip").read_bytes()})
    (file,) = find_files([tmp_path / "outer"], TABLE_SUFFIXES)
    assert file.label == f"{tmp_path}/outer!inner.zip!data"
    assert scan_file(file).head(["item_id"], 9).rows() == [(1,), (2,)]


def test_a_damaged_member_of_an_archive_is_rejected(tmp_path):
    zip_file(tmp_path / "a.zip", {"a.csv": HEADER + "s,i,1\n" * 9_000})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[60:70] = b"\xa5" * 10
    (tmp_path / "a.zip").write_bytes(bytes(content))
    with pytest.raises(SourceError, match=r"a\.zip: .*the compressed data is damaged"):
        LOG_FORMATS["table"].sources([tmp_path / "a.zip"], ReadOptions())


def test_an_encrypted_archive_is_rejected(tmp_path):
    zip_file(tmp_path / "a.zip", {"a.csv": HEADER})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1
    (tmp_path / "a.zip").write_bytes(bytes(content))
    with pytest.raises(SourceError, match=r"a\.zip!a\.csv: the file is encrypted; unpack the arch"):
        find_files([tmp_path / "a.zip"], TABLE_SUFFIXES)


def test_a_named_pipe_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    content = gzip.compress(HEADER.encode() + b"s,i,1\n")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    (file,) = find_files([tmp_path / "pipe"], TABLE_SUFFIXES)
    writer.join()
    source = scan_file(file)
    assert source.label == f"{tmp_path}/pipe"
    assert [source.head(["item_id"], 9).rows() for _ in range(2)] == [[("i",)], [("i",)]]


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    make(tmp_path, "a.csv")

    def refuse(self, *_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(SourceError, match=r"a\.csv: cannot be read: Permission denied; check the"):
        find_files([tmp_path / "a.csv"], TABLE_SUFFIXES)
