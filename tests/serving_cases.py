"""Apps and artifacts to serve in tests."""

import asyncio
import contextlib

import httpx
import numpy as np

from nextclick.artifact import Artifact
from nextclick.core.vocabulary import Vocabulary
from nextclick.serving.app import App
from nextclick.serving.settings import Settings
from reference.neural_cases import N, small_model, spread_weights

TOKEN = "a-token-of-some-length"


def neural_artifact(case, seed=0, n_items=N, **more):
    """An untrained neural model with raw ids 10, 20, …"""
    model = spread_weights(small_model(case, n_items, seed, **more), seed)
    ids = Vocabulary.from_integers(np.arange(1, n_items + 1) * 10)
    trained = dict.fromkeys(("part", "seed", "seconds", "counts", "data_fingerprint", "protocol"))
    return Artifact(model, ids, np.arange(n_items + 1), trained)


def make_app(models, **settings):
    found = {name: str(folder) for name, folder in models.items()}
    settings = {"timeout": 600.0, **settings}  # a busy machine is no error
    app = App(Settings(models=found, **settings).checked())
    app.load_models()
    return app


class Client:
    """Asks an app in this process, one request after the other or several at once."""

    def __init__(self, app):
        self.app = app
        self._loop = asyncio.new_event_loop()
        self._open = contextlib.AsyncExitStack()
        transport = httpx.ASGITransport(app.asgi)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    def __enter__(self):
        self.run(self._open.enter_async_context(self.app.lifespan()))
        return self

    def __exit__(self, *error):
        self.run(self._http.aclose())
        self.run(self._open.aclose())
        self._loop.close()

    def run(self, work):
        return self._loop.run_until_complete(work)

    def ask(self, method, path, **more):
        return self._http.request(method, path, **more)

    def get(self, path, **more):
        return self.run(self.ask("GET", path, **more))

    def post(self, path, json=None, **more):
        more = more if json is None else more | {"json": json}
        return self.run(self.ask("POST", path, **more))

    def delete(self, path, **more):
        return self.run(self.ask("DELETE", path, **more))

    def together(self, requests):
        """The answers to (method, path, arguments) that are sent at once."""

        async def all_of_them():
            return await asyncio.gather(*(self.ask(m, p, **a) for m, p, a in requests))

        return self.run(all_of_them())
