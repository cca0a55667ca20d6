"""Log formats: a few hand-written lines of each dataset, and the clicks in them."""

import json
import pickle

import polars as pl
import pytest

from nextclick.core.types import silent
from nextclick.data.options import ReadOptions, SessionOptions
from nextclick.data.readers.presplit import read_srgnn, sessions_of_prefixes
from nextclick.data.readers.raw_log import read_log
from nextclick.data.sessionize import gather_sessions
from nextclick.errors import ConfigError, SourceError


def clicks(source, name, **read):
    """Return {session or user: [(item, milliseconds)]}."""
    log = read_log([[source]], ReadOptions(format=name, **read), SessionOptions(), silent)
    table = gather_sessions(log.parts[0])
    groups = raw_ids(log.parts[0].groups)
    items = raw_ids(log.items)
    clicks_of = {}
    for group, a, b in zip(groups, table.offsets[:-1], table.offsets[1:], strict=True):
        pairs = zip(table.items[a:b].tolist(), table.times[a:b].tolist(), strict=True)
        clicks_of[group] = [(items[i], ms) for i, ms in pairs]
    return clicks_of


def raw_ids(encoder):
    vocabulary, index_of = encoder.vocabulary(
        pl.Series(range(len(encoder)), dtype=pl.Int32).to_numpy()
    )
    return [vocabulary.raw(int(i)) for i in index_of]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_yoochoose(tmp_path):
    write(
        tmp_path / "yoochoose-clicks.dat",
        "1,2014-04-07T10:51:09.277Z,214536502,0\n"
        "1,2014-04-07T10:54:09.868Z,214536500,0\n"
        "2,2014-04-07T13:56:37.614Z,214662742,S\n",
    )
    write(tmp_path / "yoochoose-buys.dat", "1,2014-04-07T10:55:00.000Z,214536502,100,1\n")
    expected = {
        1: [(214536502, 1396867869277), (214536500, 1396868049868)],
        2: [(214662742, 1396878997614)],
    }
    assert clicks(tmp_path, "yoochoose") == expected
    assert clicks(tmp_path / "yoochoose-clicks.dat", "yoochoose") == expected


DIGINETICA = (
    "sessionId;userId;itemId;timeframe;eventdate\n"
    "1;NA;81766;526309;2016-05-09\n"
    "1;NA;31331;1031018;2016-05-09\n"
    "1;NA;32118;243569;2016-05-09\n"
    "2;7;9654;75848;2016-05-10\n"
)


def test_diginetica_in_order_of_time_and_of_the_file(tmp_path):
    path = write(tmp_path / "train-item-views.csv", DIGINETICA)
    write(
        tmp_path / "train-purchases.csv",
        "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n",
    )
    day = 1462752000000  # 2016-05-09T00:00Z
    assert clicks(tmp_path, "diginetica") == {
        1: [(32118, day + 243569), (81766, day + 526309), (31331, day + 1031018)],
        2: [(9654, day + 86_400_000 + 75848)],
    }
    by_file = clicks(path, "diginetica", order="file")
    assert [i for i, _ in by_file[1]] == [81766, 31331, 32118]
    assert {ms for _, ms in by_file[1]} == {day}


def test_diginetica_needs_its_columns(tmp_path):
    path = write(tmp_path / "views.csv", "sessionId;itemId\n1;2\n")
    message = r"no column eventdate, timeframe; expected train-item-views\.csv of Diginetica"
    with pytest.raises(SourceError, match=message):
        clicks(path, "diginetica")


def test_diginetica_rejects_an_invalid_day(tmp_path):
    path = write(tmp_path / "train-item-views.csv", DIGINETICA + "3;NA;5;1;2016-13-01\n")
    with pytest.raises(SourceError, match=r"row 5 \(line 6\), column 'time': expected a time"):
        clicks(path, "diginetica")


def test_retailrocket(tmp_path):
    write(
        tmp_path / "events.csv",
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n"
        "1433224214164,992329,view,248676,\n"
        "1433222276276,257597,transaction,356475,4000\n"
        "1433221999827,257597,addtocart,355908,\n",
    )
    write(tmp_path / "category_tree.csv", "categoryid,parentid\n1016,213\n")
    write(tmp_path / "item_properties_part1.csv", "timestamp,itemid,property,value\n1,2,3,4\n")
    expected = {257597: [(355908, 1433221332117)], 992329: [(248676, 1433224214164)]}
    assert clicks(tmp_path, "retailrocket") == expected
    both = clicks(tmp_path, "retailrocket", events=("view", "addtocart"))
    assert both[257597] == [(355908, 1433221332117), (355908, 1433221999827)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n2::1357::5::978298709\n"),
        ("u.data", "1\t1193\t5\t978300760\n1\t661\t3\t978302109\n2\t1357\t5\t978298709\n"),
        (
            "ratings.csv",
            (
                "userId,movieId,rating,timestamp\n1,1193,5.0,978300760\n1,661,3.0,978302109\n"
                "2,1357,5.0,978298709\n"
            ),
        ),
    ],
)
def test_movielens(tmp_path, name, text):
    write(tmp_path / name, text)
    write(tmp_path / "movies.dat", "1::Toy Story (1995)::Animation\n")
    assert clicks(tmp_path, "movielens") == {
        1: [(1193, 978300760_000), (661, 978302109_000)],
        2: [(1357, 978298709_000)],
    }


@pytest.mark.parametrize("name", ["taobao", "tianchi"])
def test_user_behavior(tmp_path, name):
    text = "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,buy,1511561733\n"
    path = write(tmp_path / "UserBehavior.csv", text + "100,5051027,2953083,pv,1511507951\n")
    assert clicks(path, name) == {1: [(2268318, 1511544070_000)], 100: [(5051027, 1511507951_000)]}


def test_otto(tmp_path):
    lines = [
        {
            "session": 12899779,
            "events": [
                {"aid": 59625, "ts": 1661724000278, "type": "clicks"},
                {"aid": 59626, "ts": 1661724000300, "type": "carts"},
            ],
        },
        {"session": 12899780, "events": [{"aid": 1, "ts": 1661724000378, "type": "clicks"}]},
    ]
    path = write(tmp_path / "test.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert clicks(path, "otto") == {
        12899779: [(59625, 1661724000278)],
        12899780: [(1, 1661724000378)],
    }


def test_globo(tmp_path):
    header = (
        "user_id,session_id,session_start,session_size,click_article_id,click_timestamp,"
        "click_environment,click_deviceGroup,click_os,click_country,click_region,"
        "click_referrer_type\n"
    )
    rest = ",4,3,2,1,21,2\n"
    write(
        tmp_path / "clicks_hour_000.csv",
        header
        + "0,1506825423271737,1506825423000,2,119592,1506826828020"
        + rest
        + "0,1506825423271737,1506825423000,2,30970,1506826858020"
        + rest,
    )
    write(tmp_path / "clicks_hour_001.csv", header)
    write(tmp_path / "articles_metadata.csv", "article_id,category_id\n0,0\n")
    assert clicks(tmp_path, "globo") == {
        1506825423271737: [(119592, 1506826828020), (30970, 1506826858020)]
    }


def test_aotm(tmp_path):
    playlists = [
        {
            "mix_id": 113506,
            "timestamp": "2006-05-08T13:45:57",
            "user": {"name": "ann"},
            "playlist": [
                [["peter murphy", "marlene"], "SOFDPDC12A58A7D198"],
                [["nobody", "unknown"], None],
                [["jacques brel", "les marquises"], "SOMULTE12AB0180F4A"],
            ],
        },
        {"mix_id": 2, "timestamp": "2006-05-09T00:00:00", "user": None, "playlist": []},
    ]
    path = write(tmp_path / "aotm2011_playlists.json", json.dumps(playlists))
    assert clicks(path, "aotm") == {
        113506: [("SOFDPDC12A58A7D198", 1147095957000), ("SOMULTE12AB0180F4A", 1147095957000)]
    }
    write(path, '[{"mix": 1}]')
    with pytest.raises(SourceError, match=r"not the JSON of AotM-2011 \(mix_id, timestamp, user"):
        clicks(path, "aotm")


def test_recbole(tmp_path):
    text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t7\t5.0\t978300760.0\n"
    path = write(tmp_path / "ml.inter", text + "2\t8\t4.0\t978300761.0\n")
    write(tmp_path / "ml.item", "item_id:token\n7\n")
    expected = {1: [(7, 978300760_000)], 2: [(8, 978300761_000)]}
    assert clicks(tmp_path, "recbole") == clicks(path, "recbole") == expected


def dump(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


def test_srgnn(tmp_path):
    dump(tmp_path / "all_train_seq.txt", [[5, 6], [6, 7, 5]])
    # two sessions: [5, 7, 6] and [7, 7], the longest prefix of each first
    dump(tmp_path / "test.txt", ([[5, 7], [5], [7]], [6, 7, 7]))
    table, items, n_train, warnings = read_srgnn([tmp_path])
    raw = raw_ids(items)
    sessions = [
        [raw[i] for i in table.items[a:b]]
        for a, b in zip(table.offsets[:-1], table.offsets[1:], strict=True)
    ]
    assert sessions == [[5, 6], [6, 7, 5], [5, 7, 6], [7, 7]]
    assert (n_train, table.times, table.users, warnings) == (2, None, None, [])
    pair = [tmp_path / "all_train_seq.txt", tmp_path / "test.txt"]
    assert read_srgnn(pair)[0].items.tolist() == table.items.tolist()


@pytest.mark.parametrize(
    ("test", "counts", "remedy"),
    [
        # [5, 7, 6, 5] without its prefix of one click, and [7, 7, 5]
        (([[5, 7, 6], [5, 7], [7, 7]], [5, 6, 5]), "5 prefixes, but the file has 3", "prefix 2 to"),
        # shortest prefix first: each row becomes a session
        (([[5], [5, 7]], [7, 6]), "3 prefixes, but the file has 2", "longest prefix first"),
        (([[5, 7], [5], []], [6, 7, 5]), "1 of 3 prefixes are empty", "are not predicted"),
    ],
)
def test_rebuilt_prefixes_that_are_not_those_of_the_file(tmp_path, test, counts, remedy):
    dump(tmp_path / "all_train_seq.txt", [[5, 6], [6, 7, 5]])
    dump(tmp_path / "test.txt", test)
    (warning,) = read_srgnn([tmp_path])[3]
    assert counts in warning
    assert remedy in warning


def test_prefixes_may_be_tuples(tmp_path):
    assert sessions_of_prefixes(([(1, 2), (1,)], (3, 2)), tmp_path) == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ({"a": 1}, ([], []), "all_train_seq.txt: expected a list of sessions, each a list of item"),
        ([["a"]], ([], []), "all_train_seq.txt: expected a list of sessions"),
        ([[2**70]], ([], []), "all_train_seq.txt: expected a list of sessions"),
        ([[1, 2]], [[1]], r"test.txt: expected a pair \(prefixes, labels\): lists of item ids"),
        ([[1, 2]], ([[1]], 5), r"test.txt: expected a pair \(prefixes, labels\)"),
        ([[1, 2]], ([[1]], [None]), r"test.txt: expected a pair \(prefixes, labels\)"),
        ([[1, 2]], ([[1], [2]], [1]), "test.txt: 2 prefixes but 1 labels; expected one each"),
    ],
)
def test_srgnn_files_with_another_layout_are_rejected(tmp_path, train, test, message):
    dump(tmp_path / "all_train_seq.txt", train)
    dump(tmp_path / "test.txt", test)
    with pytest.raises(SourceError, match=message):
        read_srgnn([tmp_path])


def test_missing_srgnn_files_are_named(tmp_path):
    with pytest.raises(
        SourceError, match=r"all_train_seq.txt: no such file; the srgnn format needs"
    ):
        read_srgnn([tmp_path])
    with pytest.raises(
        SourceError, match=r"takes a folder, or all_train_seq.txt and test.txt, got 3"
    ):
        read_srgnn([tmp_path / "a", tmp_path / "b", tmp_path / "c"])


def test_an_unknown_format_is_rejected(tmp_path):
    with pytest.raises(
        ConfigError, match=r"no log format 'retailroket': did you mean retailrocket?"
    ):
        clicks(tmp_path, "retailroket")


def test_a_folder_without_a_file_of_the_format_is_rejected(tmp_path):
    write(tmp_path / "log.csv", "a,b\n")
    message = r"no file in this folder ends in \.inter or holds a table; pass the files by name, or choose"
    with pytest.raises(SourceError, match=message):
        clicks(tmp_path, "recbole")
