"""The first answer of a server that is starting."""

import json
import re
import time
import urllib.request


def first_answer(server, request, token=None):
    """Wait until a server is ready and return its answer to a request for recommendations.

    Args:
        server: the process of `nextclick serve`, with its standard error as text in a pipe.
        request: the body of the request.
        token: of the server, if it has one.
    """
    body = json.dumps(request).encode()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    sent = urllib.request.Request(f"{address_of(server)}/v1/recommend", body, headers)
    while True:
        assert server.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(sent) as response:
                return json.load(response)
        except OSError:  # not ready yet: 503
            time.sleep(0.2)


def address_of(server):
    """The address that a server prints, which other machines may reach under another name."""
    printed = []
    for line in server.stderr:
        printed.append(line)
        match = re.search(r"on http://\S+:(\d+)", line)
        if match is not None:
            return f"http://127.0.0.1:{match[1]}"
    raise AssertionError(f"the server has ended: {''.join(printed)}")
