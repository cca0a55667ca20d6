"""The peer of `serve.py`: a plain PyTorch and FastAPI server of the same artifact.

    pip install 'nextclick[serve,neural]' fastapi
    python benchmarks/serve_peer.py ARTIFACT [--port 8001]

A straightforward implementation: a pydantic request model; the session padded to a batch of one;
the encoder and the product with all items in PyTorch under `inference_mode`, on one thread; the
best by `torch.topk`. The handler is `async`, because on one core a thread per request only adds
waiting. No batching, no filters, no live sessions.
"""

# no `from __future__ import annotations`: FastAPI reads the types of its handlers at run time
import argparse
import socket
import sys
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from nextclick.artifact import Artifact
from nextclick.core.session_batch import SessionBatch


class Asked(BaseModel):
    """A session on raw ids."""

    session: list[int | str] = Field(min_length=1, max_length=1000)
    k: int = Field(default=20, ge=1, le=1000)
    times: list[float] | None = None
    user: int | str | None = None


class Answer(BaseModel):
    """Recommended items, best first."""

    items: list[int | str]
    scores: list[float]


def make_app(folder: str) -> FastAPI:
    """The server of an artifact."""
    artifact = Artifact.load(folder)
    model: Any = artifact.model
    model.encoder.eval()
    app = FastAPI()

    @app.get("/healthz")
    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/recommend")
    async def recommend(asked: Asked) -> Answer:
        index = artifact.items.indices(asked.session)
        at = np.flatnonzero(index)
        if len(at) == 0:
            raise HTTPException(422, "no click on a known item")
        batch = SessionBatch.from_lists([index[at]])
        gaps = waited = users = None
        if asked.times is not None:
            times = np.array(asked.times)[at]
            gaps = np.diff(times, prepend=times[0]).astype(np.float32)[None]
            waited = np.zeros(1, dtype=np.float32)
        if asked.user is not None and artifact.users is not None:
            users = np.array([artifact.users.index(asked.user)], dtype=np.int32)
        batch = SessionBatch(
            batch.items, batch.lengths, gaps=gaps, users=users, time_since_last_click=waited
        )
        with torch.inference_mode():
            table, bias = model.encoder.table()
            scores = torch.from_numpy(model.queries(batch)) @ table.T  # (1, N + 1)
            if bias is not None:
                scores += bias
            scores[0, 0] = -torch.inf
            best = torch.topk(scores[0], asked.k)
        items = [artifact.items.raw(int(i)) for i in best.indices]
        return Answer(items=items, scores=best.values.tolist())

    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", help="of a neural model")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    opened = socket.create_server(("127.0.0.1", options.port), backlog=2048)
    print(f"http://127.0.0.1:{opened.getsockname()[1]}", file=sys.stderr, flush=True)
    config = uvicorn.Config(make_app(options.artifact), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[opened])


if __name__ == "__main__":
    main()
