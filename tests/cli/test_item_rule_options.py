"""Item rules on the command line: ids and numbers, typed or in a file."""

import json

import pytest

from nextclick import train
from nextclick.cli.item_rule_options import ItemRuleOptions
from nextclick.errors import ConfigError
from small_shop import SESSIONS, frame_of, make_store


def test_ids_are_typed_or_read_from_a_file(tmp_path):
    file = tmp_path / "ids.txt"
    file.write_text("\ufeffA 1\n\n  B,2  \nC", encoding="utf-8")
    rules = ItemRuleOptions(allow=["A, B,", '"c,d"'], block=[f"@{file}", "E"]).rules()
    assert rules.allow == ("A", "B", "c,d")
    assert rules.block == ("A 1", "B,2", "C", "E")
    from_file = ItemRuleOptions(block=[f"@{file}"])
    file.write_text("\n \n")
    with pytest.raises(ConfigError, match=r"--block @.*ids\.txt: the file has no id"):
        from_file.rules()
    with pytest.raises(ConfigError, match=r"the file cannot be read: .*No such file"):
        ItemRuleOptions(block=[f"@{tmp_path / 'missing'}"]).rules()
    file.write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match=r"the file cannot be read: .*utf-8"):
        from_file.rules()


def test_evaluate_and_recommend_follow_the_same_rules(run, tmp_path):
    store = make_store(tmp_path / "store")
    train(store, "markov", tmp_path / "model")
    ids = tmp_path / "ids.txt"
    ids.write_text("20\n30\n")
    rules = ["--exclude-seen", "--allow", f"@{ids}", "--block", "30"]
    code, out, _ = run(
        "recommend", tmp_path / "model", "--session", "10", *rules, "-k", 2, "--json"
    )
    assert (code, json.loads(out)["items"]) == (0, [20])
    code, out, err = run(
        "evaluate", tmp_path / "model", tmp_path / "store", "-k", 1, *rules, "--by",
        "prefix-length,popularity", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert "rules exclude seen, allow '20' '30', block '30'" in err
    assert "By clicks before the target, in percent" in err
    result = json.loads(out)["result"]
    assert result["protocol"]["rules"] == "exclude seen, allow '20' '30', block '30'"
    assert list(result["evaluation"]["segments"]) == ["target", "prefix-length", "popularity"]
    code, _, err = run("evaluate", tmp_path / "model", tmp_path / "store", "-k", 1, "--allow", "99")
    assert code == 2
    assert "allow names no item of the model" in err


def test_numbers_are_typed_or_read_from_a_file(tmp_path):
    file = tmp_path / "boosts.txt"
    file.write_text("C=0.5\nx=y=3\n")
    options = ItemRuleOptions(
        boost=["A=2.0,B=1e1", f"@{file}"], pin=["A@1", "me@home@12"], cap=["category=3"],
        where="price > 3", diversity=0.25, explore=0.1, explore_seed=7,
    )  # fmt: skip
    rules = options.rules()
    assert rules.boost == {"A": 2.0, "B": 10.0, "C": 0.5, "x=y": 3.0}
    assert rules.pin == {"A": 1, "me@home": 12}
    assert (rules.cap, rules.where) == ({"category": 3}, "price > 3")
    assert (rules.diversity, rules.explore, rules.explore_seed) == (0.25, 0.1, 7)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"boost": ["A"]}, "--boost must be items with numbers, such as A=2, got 'A'"),
        ({"boost": ["A=x"]}, "--boost must be items with numbers, such as A=2, got 'A=x'"),
        ({"boost": ["=2"]}, "--boost must be items with numbers, such as A=2, got '=2'"),
        ({"pin": ["A@1.5"]}, "--pin must be items with numbers, such as A@2, got 'A@1.5'"),
        ({"cap": ["brand"]}, "--cap must be a column with a number, such as brand=2, got 'brand'"),
        ({"boost": ["A=2,A=3"]}, "--boost must name 'A' once, got it twice"),
        ({"boost": ["A=-1"]}, "boost of 'A' must be a factor above 0, got -1.0"),
        ({"cap": ["brand=0"]}, "cap of brand must be a number of items from 1, got 0"),
    ],
)
def test_numbers_that_cannot_be_read_are_refused(option, message):
    with pytest.raises(ConfigError, match=message):
        ItemRuleOptions(**option).rules()


def test_lists_are_formed_and_measured(run, tmp_path):
    items = tmp_path / "items.csv"
    items.write_text("item,brand,price\n10,a,1\n20,a,2\n30,b,30\n40,b,40\n50,b,50\n")
    log = tmp_path / "log.csv"
    frame_of(SESSIONS).write_csv(log)
    store, model = tmp_path / "store", tmp_path / "model"
    code, _, err = run(
        "prepare",
        log,
        "-o",
        store,
        "--items",
        items,
        "--split",
        "fraction",
        "--min-item-support",
        1,
    )
    assert code == 0, err
    assert run("train", store, "--model", "session-knn", "-o", model)[0] == 0
    code, out, err = run(
        "recommend", model, "--session", "10", "-k", 4, "--pin", "50@1", "--cap", "brand=2",
        "--explore", 0.4, "--explore-seed", 3, "--boost", "30=5", "--json",
    )  # fmt: skip
    assert code == 0, err
    answer = json.loads(out)
    assert answer["items"][0] == 50
    assert answer["propensity"][0] == 1
    assert "propensity" in err
    code, out, err = run("recommend", model, "--session", "10", "--where", "price > 3", "--json")
    assert code == 0, err
    assert sorted(json.loads(out)["items"]) == [30, 40, 50]
    code, out, err = run(
        "evaluate", model, store, "-k", 2, "--diversity", 0.2, "--where", "price >= 2", "--json"
    )
    assert code == 0, err
    assert "rules where price >= 2, diversity 0.2" in err
    assert "diversity" in err
    assert 0 < json.loads(out)["result"]["evaluation"]["diversity"]["diversity@2"] <= 1
    words = ["evaluate", model, store, "-k", 2, "--explore", 0.2, "--explore-seed", 5]
    code, _, err = run(*words, "--json")
    assert code == 0
    assert "explore 0.2 seed 5" in err
    code, _, err = run(
        "compare", store, "--models", "session-knn,markov", "-k", 2, "--diversity", 0.2,
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, err
    assert "diversity@2" in (tmp_path / "out/report.html").read_text()
