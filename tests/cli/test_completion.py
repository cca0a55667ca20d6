"""Completion in the shells, by the scripts that the program prints."""

import os
import shutil
import subprocess
import sys

import pytest

SHELLS = ["bash", "zsh", "fish"]


def program(**variables):
    """What the program prints to a shell."""
    done = subprocess.run(
        [sys.executable, "-m", "nextclick"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.stdout


def script(shell):
    return program(_NEXTCLICK_COMPLETE=f"source_{shell}")


def completions(shell, *words):
    line = " ".join(("nextclick", *words))
    variables = {"_NEXTCLICK_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    if shell == "bash":
        variables |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    if shell == "fish":
        variables["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    return program(**variables)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_the_shell(shell):
    beginnings = {"bash": "complete -o", "zsh": "#compdef nextclick", "fish": "complete --command"}
    assert beginnings[shell] in script(shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_values_are_completed(shell):
    assert "evaluate" in completions(shell, "eval")
    assert "prepare" not in completions(shell, "eval")
    assert "--min-item-support" in completions(shell, "prepare", "--min-item")
    values = completions(shell, "prepare", "--on-bad-row", "s")
    assert "skip" in values
    assert "error" not in values


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nextclick").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m nextclick "$@"\n'
    )
    (tmp_path / "bin" / "nextclick").chmod(0o755)
    (tmp_path / "complete.bash").write_text(script("bash"))
    lines = f"""
        PATH={tmp_path}/bin:$PATH
        source {tmp_path}/complete.bash
        COMP_WORDS=(nextclick recomm)
        COMP_CWORD=1
        _nextclick_completion nextclick
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "recommend"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_shell_reads_its_script(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(script(shell))
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)
