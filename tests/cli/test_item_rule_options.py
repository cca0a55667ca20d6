"""Ids of `--allow` and `--block`: typed, or in a file."""

import json

import pytest

from nextclick import train
from nextclick.cli.item_rule_options import ItemRuleOptions
from nextclick.errors import ConfigError
from small_shop import make_store


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
