import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile

import polars as pl
import pytest
import zstandard

from nextclick.data.options import ReadOptions
from nextclick.data.readers.containers import content_kind, open_stream
from nextclick.data.readers.open_file import scan_file
from nextclick.errors import SourceError

TEXT = "session_id,item_id,timestamp\n" + "".join(f"s{n},i{n % 7},{n}\n" for n in range(9_000))
DATA = TEXT.encode()

COMPRESSED = {
    "plain": DATA,
    "gzip": gzip.compress(DATA, mtime=0),
    "gzip, two members": gzip.compress(DATA[:70_000]) + gzip.compress(DATA[70_000:]),
    "bzip2": bz2.compress(DATA),
    "bzip2, two streams": bz2.compress(DATA[:70_000]) + bz2.compress(DATA[70_000:]),
    "xz": lzma.compress(DATA),
    "zstd": zstandard.compress(DATA),
    "zstd, two frames": zstandard.compress(DATA[:70_000]) + zstandard.compress(DATA[70_000:]),
    "gzip in zstd": zstandard.compress(gzip.compress(DATA)),
}


def table():
    return pl.DataFrame({"session_id": ["a", "b"], "item_id": [1, 2], "timestamp": [10, 20]})


def stored_as(kind):
    buffer = io.BytesIO()
    if kind == "parquet":
        table().write_parquet(buffer)
    elif kind == "arrow":
        table().write_ipc(buffer)
    elif kind == "arrow stream":
        table().write_ipc_stream(buffer)
    else:
        table().write_avro(buffer)
    return buffer.getvalue()


def rows_of(source):
    return [
        row
        for frame in source.frames(source.columns)
        for row in frame.select(source.columns).rows()
    ]


@pytest.mark.parametrize("content", COMPRESSED.values(), ids=COMPRESSED)
@pytest.mark.parametrize("name", ["clicks", "clicks.csv", "clicks.csv.gz", "clicks.parquet"])
def test_text_is_read_whatever_its_compression_and_its_name(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with open_stream(path) as stream:
        assert stream.read() == DATA
    assert content_kind(path) == "text"
    source = scan_file(path)
    assert source.columns == ("session_id", "item_id", "timestamp")
    assert sum(frame.height for frame in source.frames(["item_id"])) == 9_000


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrow stream", "avro"])
@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "my log [1]"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_tables_are_read_whatever_their_name_and_compression(tmp_path, kind, name, compress):
    path = tmp_path / name
    path.write_bytes(compress(stored_as(kind)))
    assert content_kind(path) == kind
    source = scan_file(path)
    assert rows_of(source) == table().rows()
    assert rows_of(source) == table().rows()  # a second pass
    assert source.label == str(path)


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress]
)
def test_a_compressed_file_that_is_cut_is_rejected(tmp_path, compress):
    path = tmp_path / "clicks.csv"
    path.write_bytes(compress(DATA)[:-20])
    message = r"clicks\.csv: cannot be read: the compressed data ends early, so the file is incompl"
    with pytest.raises(SourceError, match=message):
        rows_of(scan_file(path))


@pytest.mark.parametrize(
    "compress",
    [
        gzip.compress,
        bz2.compress,
        lzma.compress,
        zstandard.ZstdCompressor(write_checksum=True).compress,
    ],
)
def test_a_compressed_file_that_is_damaged_is_rejected(tmp_path, compress):
    path = tmp_path / "clicks.csv"
    content = bytearray(compress(DATA))
    content[len(content) // 2 : len(content) // 2 + 40] = b"\xa5" * 40
    path.write_bytes(bytes(content))
    with pytest.raises(
        SourceError, match=r"clicks\.csv: .*(data is damaged|ends early|cannot be decompressed)"
    ):
        rows_of(scan_file(path))


def zip_of(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zip_of(**{"xl/workbook.xml": ""}), "the file is an Excel workbook, .*; save the sheet as"),
        (zip_of(**{"word/document.xml": ""}), "the file is a Word document"),
        (zip_of(), "no file in this archive holds a table; pass the log itself"),
        (zip_of(a=b"%PDF-1.7"), "no file in this archive holds a table"),
        (zip_of(a=DATA)[:4000], "the zip archive cannot be read .*copy or download it again"),
        (b"%PDF-1.7 \x00", "the file is a PDF document, which cannot be read; export the table as"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00", "a Microsoft Office file, such as an .xls"),
        (b"ORC\x08\x03", "the file is an ORC file, which cannot be read; save it as Parquet"),
        (b"PARE\x08\x03", "an encrypted Parquet file"),
        (b"FEA1\x08\x03", "a Feather file of version 1"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (pickle.dumps([1, 2]), "a pickle"),
        (pickle.dumps([1, 2], protocol=2), "a pickle"),
        (b"<!DOCTYPE html><html>", "an HTML page, .*; download the file itself; a login page"),
        (b"<?xml version='1.0'?><a/>", "an XML document, .*; convert it to CSV or JSON lines"),
        (b"\x04\x22\x4d\x18\x60", "compressed with lz4, which cannot be read; unpack it"),
        (b"7z\xbc\xaf\x27\x1c\x00", "a 7-Zip archive"),
        (b"\x89PNG\r\n\x1a\n\x00", "an image"),
        (bytes(range(256)) * 9, "binary data of an unknown kind"),
    ],
)
@pytest.mark.parametrize("name", ["clicks.csv", "clicks.parquet"])
def test_a_file_of_another_kind_is_named(tmp_path, content, message, name):
    from nextclick.data.readers.formats import LOG_FORMATS

    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=rf"clicks.*: .*{message}"):
        LOG_FORMATS["table"].sources([tmp_path / name], ReadOptions())


def test_a_tar_archive_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(DATA)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.csv", "a.csv")
    with pytest.raises(SourceError, match=r"a\.tar\.gz: the file is a tar archive, .*tar -xf"):
        scan_file(tmp_path / "a.tar.gz")


def test_a_parquet_file_that_is_cut_is_rejected(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(stored_as("parquet")[:-30])
    with pytest.raises(SourceError, match=r"a\.parquet: cannot be read: .*; check the file"):
        scan_file(path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a,b\n1,2\n", "text"),
        ('{"a": 1}\n', "json"),
        ('\ufeff{ "a": 1}\n', "json"),
        ("\n [\n {}]", "json"),
        ("[2026-01-01 10:00:00] GET /", "text"),
        ("", "empty"),
    ],
)
def test_json_is_told_from_text(tmp_path, text, kind):
    (tmp_path / "log").write_text(text)
    assert content_kind(tmp_path / "log") == kind


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-8-sig"])
def test_text_in_any_encoding_is_text(tmp_path, encoding):
    (tmp_path / "log").write_text("session,item,Zeit\ns1,Käse,2026-01-01\n" * 9, encoding=encoding)
    assert content_kind(tmp_path / "log") == "text"
