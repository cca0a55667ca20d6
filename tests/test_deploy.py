"""What deploys the server, as far as it can be held without a cluster: paths, flags, names."""

import contextlib
import http.server
import os
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

import pytest
import yaml
from typer.main import get_command

from dockerfile import DEPLOY, DOCKERFILE, ROOT, instructions, list_of
from nextclick.cli.main import app

TEXT = DOCKERFILE.read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS = [
    manifest
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]


def one(kind, name="nextclick"):
    found = [m for m in MANIFESTS if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, (kind, name)
    return found[0]


def pod():
    return one("Deployment")["spec"]["template"]["spec"]


def container():
    return pod()["containers"][0]


def commands():
    """Every `nextclick serve` that is started here, as its arguments."""
    return {
        "Dockerfile": list_of("CMD"),
        "compose.yaml": COMPOSE["services"]["serve"]["command"],
        "serve.yaml": container()["args"],
    }


def flags(arguments):
    return {a.split("=")[0]: a.partition("=")[2] for a in arguments if a.startswith("--")}


@pytest.mark.parametrize("where", ["Dockerfile", "compose.yaml", "serve.yaml"])
def test_every_flag_is_one_of_serve(where):
    serve = get_command(app).commands.get("serve")
    if serve is None:
        pytest.skip("there is no nextclick serve yet")
    arguments = commands()[where]
    assert arguments[:2] == ["serve", "/models"]
    known = {name for parameter in serve.params for name in parameter.opts}
    assert set(flags(arguments)) <= known


def test_what_the_image_copies_is_there():
    copied = [shlex.split(rest) for word, rest in instructions() if word == "COPY"]
    sources = [s for words in copied if not words[0].startswith("--") for s in words[:-1]]
    assert sources == ["pyproject.toml", "constraints.txt", "README.md", "LICENSE", "src"]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    # what hatchling reads to build the package
    project = (ROOT / "pyproject.toml").read_text()
    for needed in re.findall(r'^(?:readme|license-files) = \[?"(.+?)"', project, re.MULTILINE):
        assert needed in sources


def test_the_image_has_no_torch_unless_asked_and_no_root():
    extras = [rest for word, rest in instructions() if word == "ARG" and "EXTRAS" in rest]
    assert extras == ["EXTRAS=serve,redis"]
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users == ["10001:10001"]
    words = [word for word, _ in instructions()]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert {"HEALTHCHECK", "STOPSIGNAL", "EXPOSE"} <= set(words)
    assert "http://127.0.0.1:8000/healthz" in TEXT


def test_compose_starts_the_server_with_redis():
    serve, redis = COMPOSE["services"]["serve"], COMPOSE["services"]["redis"]
    assert (DEPLOY / serve["build"]["context"]).resolve() == ROOT
    assert (ROOT / serve["build"]["dockerfile"]).exists()
    assert flags(serve["command"])["--state"].startswith("redis://redis:6379")
    assert serve["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert "healthcheck" in redis
    token = flags(serve["command"])["--token-file"]
    assert token == f"/run/secrets/{serve['secrets'][0]}"
    assert serve["secrets"][0] in COMPOSE["secrets"]
    assert float(flags(serve["command"])["--shutdown-grace"]) + 5 < float(
        serve["stop_grace_period"][:-1]
    )


def test_the_pods_are_probed_and_stop_in_time():
    serve = container()
    port = {p["name"]: p["containerPort"] for p in serve["ports"]}
    assert flags(serve["args"])["--port"] == str(port["http"])
    paths = {
        name: serve[name]["httpGet"]["path"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {
        "startupProbe": "/readyz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/healthz",
    }
    assert {serve[name]["httpGet"]["port"] for name in paths} <= set(port)
    waits = float(serve["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = waits + sum(float(flags(serve["args"])[f]) for f in ("--shutdown-grace", "--timeout"))
    assert needed < pod()["terminationGracePeriodSeconds"]
    assert serve["resources"]["requests"].keys() >= {"cpu", "memory"}


def test_the_pods_may_write_to_nothing_but_their_own_folders():
    serve = container()
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert serve["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {m["name"]: m for m in serve["volumeMounts"]}
    volumes = {v["name"]: v for v in pod()["volumes"]}
    assert mounts.keys() == volumes.keys()
    written = {mounts[n]["mountPath"] for n in mounts if not mounts[n].get("readOnly")}
    assert written == {"/cache", "/tmp"}
    assert "NUMBA_CACHE_DIR=/cache" in TEXT
    claim = volumes["registry"]["persistentVolumeClaim"]["claimName"]
    one("PersistentVolumeClaim", claim)
    assert mounts["registry"]["mountPath"] == serve["args"][1]
    assert flags(serve["args"])["--token-file"] == f"{mounts['token']['mountPath']}/token"


def test_the_manifests_name_each_other():
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert one("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert one("Service")["spec"]["selector"] == labels
    assert one("Service")["spec"]["ports"][0]["targetPort"] == "http"
    scaled = one("HorizontalPodAutoscaler")["spec"]
    assert scaled["scaleTargetRef"]["name"] == one("Deployment")["metadata"]["name"]
    assert scaled["minReplicas"] <= one("Deployment")["spec"]["replicas"] <= scaled["maxReplicas"]
    redis = flags(container()["args"])["--state"]
    service = one("Service", re.match(r"redis://([\w-]+):6379", redis)[1])
    template = one("Deployment", "nextclick-redis")["spec"]["template"]
    assert service["spec"]["selector"] == template["metadata"]["labels"]
    allowed = one("NetworkPolicy", "nextclick-redis")["spec"]["ingress"][0]["from"]
    assert allowed == [{"podSelector": {"matchLabels": labels}}]


def test_every_server_that_others_reach_has_a_token_and_names():
    for where in ("compose.yaml", "serve.yaml"):
        given = flags(commands()[where])
        assert given["--host"] == "0.0.0.0"
        assert given["--token-file"].startswith("/run/secrets/")
        assert given["--allowed-hosts"]
    assert "NEXTCLICK_TOKEN" in TEXT
    service = one("Service")["metadata"]["name"]
    assert service in flags(container()["args"])["--allowed-hosts"].split(",")


def test_haproxy_drains_a_server_before_it_stops(tmp_path):
    text = (DEPLOY / "haproxy.cfg").read_text()
    options = {one.name for one in get_command(app).commands["serve"].params}
    for flag in re.findall(r"`--([\w-]+)", text):
        assert flag.replace("-", "_") in options
    assert "GET uri /readyz" in text
    grace = 1000 * float(re.search(r"--shutdown-grace (\d+)", text)[1])
    interval, fall = (
        int(re.search(pattern, text)[1]) for pattern in (r" inter (\d+)ms", r"fall (\d+)")
    )
    assert grace > (fall + 1) * interval
    # a click is never sent twice
    assert "disable-l7-retry if METH_POST !{ path_beg /v1/recommend }" in text
    if shutil.which("haproxy") is None:
        pytest.skip("no haproxy on the PATH to read the file")
    addresses = dict.fromkeys(re.findall(r'"\$\{(\w+)\}"', text), "127.0.0.1:9")
    assert sorted(addresses) == ["LISTEN", "REPLICA_1", "REPLICA_2", "REPLICA_3"]
    command = ["haproxy", "-c", "-f", str(DEPLOY / "haproxy.cfg")]
    subprocess.run(command, env={**os.environ, **addresses}, check=True, capture_output=True)


class Replica(http.server.BaseHTTPRequestHandler):
    """A server behind the proxy."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def proxy_command(program, folder, port, replicas):
    """The command and the environment of a proxy on a port, before servers on other ports."""
    config = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[program]
    if program == "haproxy":
        addresses = {f"REPLICA_{n}": f"127.0.0.1:{own}" for n, own in enumerate(replicas, 1)}
        return ["haproxy", "-f", str(DEPLOY / config)], {"LISTEN": f"127.0.0.1:{port}", **addresses}
    text = (DEPLOY / config).read_text().replace("listen 8000", f"listen 127.0.0.1:{port}")
    for n, own in enumerate(replicas, 1):
        text = text.replace(f"10.0.0.{n}:8000", f"127.0.0.1:{own}")
    (folder / config).write_text(text)
    return ["nginx", "-p", str(folder), "-c", str(folder / config), "-g", "daemon off;"], {}


@contextlib.contextmanager
def proxied(program, folder, replicas):
    """The address of a click, sent through a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command, settings = proxy_command(program, folder, port, replicas)
    with subprocess.Popen(
        command, env={**os.environ, **settings}, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(500):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}/v1/sessions/a/events"
        finally:
            process.terminate()


@pytest.mark.parametrize("program", ["nginx", "haproxy"])
def test_a_server_that_is_away_is_left_out(tmp_path, program):
    if shutil.which(program) is None:
        pytest.skip(f"no {program} on the PATH")
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(3):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replica)
            stack.enter_context(server)
            ports.append(server.server_port)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        server.shutdown()
        server.server_close()
        address = stack.enter_context(proxied(program, tmp_path, ports))
        for _ in range(12):
            with urllib.request.urlopen(address, data=b"{}", timeout=10) as response:
                assert response.status == 200
