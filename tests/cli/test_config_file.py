"""`--config` and `--dump-config`: the options of a command in a file."""

import tomllib

import pytest

from nextclick.cli.main import COMMANDS, load_command

COMMANDS_OF_GROUPS = {"report": ("report online",)}
NAMES = [
    one
    for group in COMMANDS.values()
    for name in group
    for one in COMMANDS_OF_GROUPS.get(name, (name,))
]


@pytest.fixture
def config(tmp_path):
    def written(text):
        path = tmp_path / "nextclick.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def given(text, command):
    """The options that a printed file sets."""
    found = tomllib.loads(text)
    for name in command.split():
        found = found[name]
    return found


def parameters_of(command):
    group, _, name = command.partition(" ")
    loaded = load_command(group)
    return (loaded.commands[name] if name else loaded).params


@pytest.mark.parametrize("name", NAMES)
def test_every_command_prints_its_options_without_required_ones(name, run):
    code, out, err = run(*name.split(), "--dump-config")
    assert (code, err) == (0, "")
    assert given(out, name) == {}
    for parameter in parameters_of(name):
        keys = [flag.lstrip("-") for flag in parameter.opts if flag.startswith("--")]
        if keys and keys[0] not in ("help", "config", "dump-config"):
            assert f"\n# {keys[0]}" in out


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_defaults_can_be_set(name, run, config):
    _, out, _ = run(*name.split(), "--dump-config")
    lines = [line.removeprefix("# ") if " = " in line else line for line in out.splitlines()]
    code, again, err = run(*name.split(), "--config", config("\n".join(lines)), "--dump-config")
    assert code == 0, err
    assert given(again, name) == given("\n".join(lines), name)


def test_what_is_given_is_printed_and_read_again(run, config):
    words = ["prepare", "a,b.csv", "c.csv", "-o", 'x "y"', "--gap", 900, "--events", "view"]
    code, out, _ = run(*words, "--one-pass", "--drop-edge", "--json", "--dump-config")
    expected = {
        "sources": ["a,b.csv", "c.csv"],
        "output": 'x "y"',
        "gap": 900.0,
        "events": ["view"],
        "iterate": False,
        "drop-edge": True,
        "json": True,
    }
    assert code == 0
    assert given(out, "prepare") == expected
    assert "# gap:" not in out
    assert "# min-session-length = 2" in out
    assert "# min-item-support: 5, or 1 for a pre-split log" in out
    code, again, _ = run("prepare", "--config", config(out), "--dump-config")
    assert (code, again) == (0, out)


def test_options_on_the_command_line_override_the_file(run, config):
    path = config('[evaluate]\nartifact = "m"\nk = [5, 10]\nbootstrap = 7\n[train]\nseed = 1\n')
    _, out, _ = run("evaluate", "--config", path, "other", "--bootstrap", "9", "--dump-config")
    assert given(out, "evaluate") == {"artifact": "other", "k": "5,10", "bootstrap": 9}


def test_a_command_runs_with_the_options_of_a_file(run, config, tmp_path):
    path = config(
        f'[simulate]\noutput = "{tmp_path / "log.csv"}"\nevents = 500\nitems = 60\n'
        'start = 2026-03-02\n[prepare]\nitem-column = "item_id"\n'
    )
    code, _, err = run("simulate", "--config", path)
    assert code == 0, err
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 501


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nsed = 1", "train has no option 'sed': did you mean seed or set?"),
        ("[trian]\nseed = 1", "there is no command 'trian': did you mean train?"),
        ("seed = 1", "'seed' is in no table; put the options of a command below its name"),
        ("[train]\nseed = {a = 1}", "seed of [train] must be a value or a list of values, got"),
        ("[train]\nresume = 1", "resume of [train] must be true or false, got 1"),
        ("[train]\nseed = true", "seed of [train] takes a value, got true; it is no switch"),
        ("[train]\nseed = 1.5", "Invalid value for '--seed': "),
        ('[train]\ntrain-on = "x"', "--train-on must be one of inner, all, got 'x'"),
        ("[train\n", "the file is not valid TOML"),
    ],
)
def test_bad_files(run, config, text, message):
    code, _, err = run("train", "store", "-o", "model", "--config", config(text))
    assert code == 2
    assert message in " ".join(err.split())


def test_a_missing_file_is_named(run, tmp_path):
    code, _, err = run("train", "--config", tmp_path / "no.toml")
    assert code == 2
    assert "no.toml: cannot read the file: No such file or directory" in err
