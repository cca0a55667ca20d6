import gzip
import io
import subprocess
import sys

import polars as pl
import pytest

import nextclick
from file_server import file_server
from nextclick import PrepareOptions
from nextclick.data.options import FilterOptions, ReadOptions, SplitOptions
from nextclick.data.readers.formats import LOG_FORMATS, TABLE_SUFFIXES
from nextclick.data.readers.log_files import find_files
from nextclick.errors import SourceError

HEADER = "session_id,item_id,timestamp\n"
TEXT = HEADER + "".join(f"s{n // 4},i{n % 5},{1_700_000_000 + n}\n" for n in range(40_000))


def parquet(frame):
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def sources(*patterns):
    return LOG_FORMATS["table"].sources(patterns, ReadOptions())


def n_rows(source):
    return sum(frame.height for frame in source.frames(["item_id"]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", TEXT.encode()),
        ("a.csv.gz", gzip.compress(TEXT.encode())),
        ("a.parquet", parquet(pl.read_csv(TEXT.encode()))),
        ("b.csv", parquet(pl.read_csv(TEXT.encode()))),
        ("my log (1)", gzip.compress(parquet(pl.read_csv(TEXT.encode())))),
    ],
)
def test_a_file_of_s3_is_read(bucket, name, content):
    bucket(f"one/{name}", content)
    (source,) = sources(f"s3://logs/one/{name}")
    assert source.label == f"s3://logs/one/{name}"
    assert n_rows(source) == n_rows(source) == 40_000


def test_a_folder_of_s3_is_read(bucket):
    for day in "12":
        bucket(f"many/date=2026-01-0{day}/a.csv", HEADER + f"s,i{day},1\n")
    bucket("many/_SUCCESS", "")
    bucket("many/date=2026-01-02/empty.csv", "")
    for pattern in ("s3://logs/many", "s3://logs/many/", "s3://logs/many/*/*.csv"):
        found = sources(pattern)
        assert [source.head(["item_id", "date"], 9).row(0) for source in found] == [
            ("i1", "2026-01-01"),
            ("i2", "2026-01-02"),
        ]
    assert [len(source.notes) for source in found] == [1, 0]
    assert len(sources("s3://logs/many/date=2026-01-0?/a.csv")) == 2
    assert len(sources("s3://logs/many/**/a.csv")) == 2


def test_a_log_of_s3_is_prepared(bucket, tmp_path):
    bucket("prepare/a.csv", TEXT)
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction")
    )
    prepared = nextclick.prepare("s3://logs/prepare", tmp_path / "store", options=options)
    assert prepared.report["rows"] == 40_000


def test_a_delta_table_of_s3_is_read(bucket, tmp_path):
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(str(tmp_path / "log"), pl.DataFrame({"item_id": [1, 2]}))
    deltalake.DeltaTable(str(tmp_path / "log")).delete("item_id = 2")
    for path in (tmp_path / "log").rglob("*"):
        if path.is_file():
            bucket(f"delta/{path.relative_to(tmp_path / 'log')}", path.read_bytes())
    (source,) = sources("s3://logs/delta")
    assert n_rows(source) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://logs/none.csv", "no such file, and no file below it ends in .*; check the address"),
        ("s3://logs/none*.csv", "no such file; check the address or the glob pattern"),
        (
            "s3://none/a.csv",
            "cannot be read: The specified bucket does not exist; check the address, or create the",
        ),
        ("ftp://logs/a.csv", "addresses of ftp:// cannot be read; supported are s3://, gs://, az"),
    ],
)
def test_an_address_without_a_file_is_rejected(bucket, url, message):
    with pytest.raises(SourceError, match=message):
        sources(url)


def test_the_package_for_object_storage_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(
        SourceError, match=r"s3://b/a: the package obstore is missing; .*'nextclick\[cloud\]'"
    ):
        find_files(["s3://b/a"], TABLE_SUFFIXES)


@pytest.fixture
def web_server(tmp_path):
    with file_server(tmp_path) as address:
        yield address


def test_a_file_of_a_web_server_is_read(tmp_path, web_server):
    (tmp_path / "a").write_bytes(gzip.compress(TEXT.encode()))
    (source,) = sources(f"{web_server}/a?version=2")
    assert source.label == f"{web_server}/a?version=2"
    assert n_rows(source) == n_rows(source) == 40_000
    with pytest.raises(SourceError, match="none: the server answers 404 File not found; check the"):
        sources(f"{web_server}/none")
    with pytest.raises(
        SourceError, match=r"http://127\.0\.0\.1:1/a: cannot be read: .*; check the file"
    ):
        sources("http://127.0.0.1:1/a")


def test_an_address_of_a_local_file_is_read(tmp_path):
    (tmp_path / "my log.csv").write_text(TEXT)
    (source,) = sources((tmp_path / "my log.csv").as_uri())
    assert n_rows(source) == 40_000


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_standard_input_is_read(tmp_path, compress):
    command = [sys.executable, "-m", "nextclick", "prepare", "-", "-o", str(tmp_path / "store")]
    result = subprocess.run(
        [*command, "--min-item-support", "1", "--split", "fraction", "--json"],
        input=compress(TEXT.encode()),
        capture_output=True,
        check=True,
    )
    assert b'"rows": 40000' in result.stdout


def test_empty_standard_input_is_rejected(tmp_path):
    command = [sys.executable, "-m", "nextclick", "prepare", "-", "-o", str(tmp_path / "store")]
    result = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert result.returncode == 2
    assert b"standard input: the file is empty; expected a header" in result.stderr
