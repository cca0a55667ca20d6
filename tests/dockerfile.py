"""The instructions of deploy/Dockerfile."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"


def instructions():
    """Each instruction as its word and the rest."""
    text = DOCKERFILE.read_text()
    joined = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def list_of(word):
    """The list of the last instruction of a word, such as CMD."""
    return [yaml.safe_load(rest) for found, rest in instructions() if found == word][-1]
