"""The container image is built and answers; without a builder, its instructions run one by one."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nextclick
from dockerfile import DEPLOY, DOCKERFILE, ROOT, instructions, list_of
from started_server import first_answer

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-some-length"
PYTHON = "docker.io/library/python:3.11-slim"
# an index that also has PyTorch, where that of the Dockerfile cannot be reached
INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")  # perhaps with that of a proxy
DEBIAN = ("--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a model that every user may read, and a session of its log."""
    folder = tmp_path_factory.mktemp("model")
    config = nextclick.SimulationConfig(events=3000, items=80, users=200, days=5, categories=8)
    nextclick.simulate(config, folder / "clicks.csv")
    store = nextclick.prepare(folder / "clicks.csv", folder / "store").store
    nextclick.train(store, "session-knn", folder / "model")
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return folder / "model", [store.items.raw(1), store.items.raw(2)]


def check_answer(server, model):
    """The server of the image recommends what the model does."""
    folder, session = model
    answer = first_answer(server, {"session": session, "k": 5}, token=TOKEN)
    expected = nextclick.load(folder).recommend([session], k=5)[0]
    assert answer["items"] == list(expected.items)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    """Runs buildah with a storage of its own, in which the base image of the Dockerfile is."""
    program = shutil.which("buildah")
    if program is None or os.geteuid() != 0:
        pytest.skip("needs buildah, and root")
    folder = tmp_path_factory.mktemp("images")
    storage = ["--storage-driver", "vfs", "--root", folder / "root", "--runroot", folder / "run"]
    base = [program, *map(str, storage)]

    def run(*words):
        done = subprocess.run([*base, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run.command = base
    if subprocess.run([*base, "pull", PYTHON], capture_output=True).returncode != 0:
        debian_with_python(run, folder)
    yield run
    subprocess.run(["rm", "-rf", folder], check=True)


def debian_with_python(run, folder):
    """Create the base image from Debian 12, whose Python is 3.11, if it cannot be pulled."""
    debootstrap = shutil.which("debootstrap")
    if debootstrap is None:
        pytest.skip(f"cannot pull {PYTHON}, and there is no debootstrap to replace it")
    done = subprocess.run([debootstrap, *DEBIAN, folder / "debian"], capture_output=True)
    if done.returncode != 0:
        pytest.skip("neither an image registry nor a mirror of Debian can be reached")
    (folder / "debian/usr/bin/python").symlink_to("python3")
    container = run("from", "scratch")
    run("copy", container, folder / "debian", "/")
    run("commit", "--rm", container, PYTHON)


def test_the_image_is_built_and_answers(buildah, model):
    mount = f"{CERTIFICATES}:{CERTIFICATES}:ro"
    buildah(
        "build-using-dockerfile", "--isolation", "chroot", "--pull-never", "--tag", "nextclick",
        "--file", DOCKERFILE, "--ignorefile", DEPLOY / "Dockerfile.dockerignore",
        "--build-arg", f"TORCH_INDEX={INDEX}",
        *(["--volume", mount] if CERTIFICATES.exists() else []), ROOT,
    )  # fmt: skip
    container = buildah("from", "--pull-never", "nextclick")
    image = json.loads(buildah("inspect", container))["OCIv1"]["config"]
    assert image["User"] == "10001:10001"
    words = [*image["Entrypoint"], *image["Cmd"], "--port", "0"]
    command = [
        *buildah.command, "run", "--isolation", "chroot", "--env", f"NEXTCLICK_TOKEN={TOKEN}",
        "--volume", f"{model[0]}:/models:ro", container, "--", *words,
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            check_answer(server, model)
        finally:
            server.terminate()


class Steps:
    """Runs the instructions in a folder that stands for the root of the image.

    Paths of the image are below the folder, stages share it, and users and their groups are not
    created. An instruction that is not known here fails the test.
    """

    PATHS = re.compile(r"(?<![\w.])/(?=(?:src|opt|cache|state|models)\b)")
    ACCOUNTS = re.compile(r"(groupadd|useradd) .*")

    def __init__(self, root, arguments):
        self.root = root
        self.arguments = arguments
        self.environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.folder = root

    def inside(self, text):
        """Text with the variables and the paths of the image replaced."""
        variables = self.arguments | self.environment
        replaced = re.sub(r"\$\{(\w+)\}", lambda name: variables[name[1]], text)
        return self.PATHS.sub(f"{self.root}/", replaced)

    def run(self, word, rest):
        """Run an instruction."""
        getattr(self, f"_{word.lower()}")(rest)

    def _arg(self, rest):
        name, _, value = rest.partition("=")
        self.arguments.setdefault(name, value)

    def _from(self, rest):
        assert self.inside(rest.split()[0]) == "python:3.11-slim"

    def _workdir(self, rest):
        self.folder = Path(self.inside(rest))
        self.folder.mkdir(parents=True)

    def _copy(self, rest):
        *sources, target = shlex.split(rest)
        if sources[0] == "--from=build":
            assert sources[1:] == [target]  # the stages share their files
            return
        for source in sources:
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, self.folder / target)

    def _run(self, rest):
        for step in re.split(r"\s+&&\s+", rest):
            if self.ACCOUNTS.match(step):
                continue
            step = re.sub(r"--(owner|group) \w+ ", "", step)
            environment = os.environ | self.environment
            done = subprocess.run(
                ["sh", "-ec", self.inside(step)], cwd=self.folder, env=environment,
                capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, f"{step}\n{done.stderr}"

    def _env(self, rest):
        for name, value in (word.split("=", 1) for word in shlex.split(rest)):
            self.environment[name] = self.inside(value)

    def _user(self, rest):
        assert rest == "10001:10001"

    def _ignored(self, rest):
        """Read by `list_of`, or without effect on files."""

    _expose = _stopsignal = _healthcheck = _entrypoint = _cmd = _ignored


def test_each_instruction_runs_in_a_folder(model, tmp_path):
    steps = Steps(tmp_path / "image", {"TORCH_INDEX": INDEX})
    steps.root.mkdir()
    for word, rest in instructions():
        steps.run(word, rest)
    models = tmp_path / "image/models"
    models.symlink_to(model[0])
    words = [*list_of("ENTRYPOINT"), *map(steps.inside, list_of("CMD")), "--port", "0"]
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"} | steps.environment
    environment["NEXTCLICK_TOKEN"] = TOKEN
    program = shutil.which(words[0], path=steps.environment["PATH"])
    assert program == str(tmp_path / "image/opt/nextclick/bin/nextclick")
    with subprocess.Popen(
        [program, *words[1:]], env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            check_answer(server, model)
        finally:
            server.terminate()
