"""The kernels say what the encoders say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.models.neural.cosine_gru import CosineGRU, CosineGRUConfig
from nextclick.models.neural.sr_gnn import SRGNN, SRGNNConfig
from nextclick.models.ops.gap_bins import GapBins
from nextclick.serving.request import RecommendationRequest, ResolvedRequest, to_batch
from nextclick.serving.search.compiled_encoders import compile_encoder
from nextclick.serving.search.encoder_kernels import sigmoid_
from reference.neural_cases import CASES, N, small_model, spread_weights

U = 6
SR_GNN = [
    {"variant": variant, "edges": edges, "steps": steps}
    for variant in ("hybrid", "global", "local")
    for edges in ("binary", "counted")
    for steps in (1, 2)
]
NARM = [case for case in CASES if case.startswith("narm")]
ASARS_CASES = [
    {"variant": variant, "gap": gap, "cell": cell, "attend": attend, "drift": drift}
    for variant in ("time_att", "time_user")
    for gap in ("causal", "elapsed")
    for cell in ("lstm", "gru")
    for attend in ("state", "context")
    for drift in (False, True)
    if variant == "time_user" or not drift
] + [
    {"variant": variant, "gap": gap, "attend": attend, "readout": "both"}
    for variant in ("time_att", "time_user")
    for gap in ("causal", "elapsed")
    for attend in ("state", "last", "user")
]


def wishes(rng, *, times=True):
    found = []
    for n in (1, 2, 3, 6, 7, 8, 12):  # some longer than what a model reads
        gaps = rng.uniform(0, 30, n).astype(np.float32)
        gaps[0] = 0.0
        gaps[rng.random(n) < 0.2] = np.nan
        found.append(
            ResolvedRequest(
                original=RecommendationRequest((), 5),
                clicks=rng.integers(1, N + 1, n, dtype=np.int32),
                unknown=[],
                k=5,
                excluded=np.empty(0, np.int32),
                allowed=None,
                gaps=gaps if times and n != 6 else None,
                time_since_last_click=float(rng.uniform(0, 20)) if times and n != 6 else 0.0,
                user=int(rng.integers(0, U + 1)),
            )
        )
    return found


def check(model, asked):
    compiled = compile_encoder(model.encoder)
    for wish in asked:
        one = compiled.query(wish)
        expected = model.queries(to_batch([wish]))[0].numpy()
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", NARM)
def test_narm(case):
    check(spread_weights(small_model(case)), wishes(np.random.default_rng(0), times=False))


@pytest.mark.parametrize("values", SR_GNN, ids=lambda v: " ".join(map(str, v.values())))
def test_sr_gnn(values):
    torch.manual_seed(0)
    model = spread_weights(SRGNN(SRGNNConfig(width=6, max_length=7, **values), N))
    asked = wishes(np.random.default_rng(0), times=False)
    clicks = [[3, 3], [1, 2, 1, 2, 1], [4, 4, 4, 5, 4, 5]]  # edges to oneself, and several times
    again = [replace(asked[0], clicks=np.array(one, dtype=np.int32)) for one in clicks]
    check(model, asked + again)


def small_asars(**values):
    widths = {"item_width": 6, "gap_width": 3, "user_width": 4, "hidden_width": 5}
    seen = np.arange(U + 1) % 3 != 0  # some users are only in the test
    torch.manual_seed(0)
    config = ASARSConfig(max_length=7, **widths, **values)
    return spread_weights(ASARS(config, N, DatasetInfo(seen, GapBins(2.5, 9))))


@pytest.mark.parametrize("values", ASARS_CASES, ids=lambda v: " ".join(map(str, v.values())))
@pytest.mark.parametrize("times", [True, False])
def test_asars(values, times):
    check(small_asars(**values), wishes(np.random.default_rng(1), times=times))


def test_none_for_others():
    assert compile_encoder(small_asars(variant="user_cat").encoder) is None
    assert compile_encoder(small_asars(gap="oracle").encoder) is None
    assert compile_encoder(small_model("sasrec").encoder) is None


@pytest.mark.parametrize("width", [6, 7])  # four columns at a time, and a rest
def test_cosine_gru(width):
    torch.manual_seed(0)
    model = spread_weights(CosineGRU(CosineGRUConfig(width=width, max_length=7), N))
    model.encoder.keep_unit_vectors()
    asked = wishes(np.random.default_rng(0), times=False)
    clicks = [[3, 3, 3, 3, 3], [1, 2, 1, 2, 1], [4, 4, 4, 5, 4, 5]]  # up to three and more clicks
    check(model, asked + [replace(asked[0], clicks=np.array(c, dtype=np.int32)) for c in clicks])


def test_cosine_gru_with_times_is_not_compiled():
    model = CosineGRU(CosineGRUConfig(width=6, times=True), N, DatasetInfo(None, GapBins(2.5, 9)))
    assert compile_encoder(model.encoder) is None


def test_sigmoids_of_any_number():
    x = np.array([0, 1, -1, 30, -30, 200, -200, 1e-8, np.nan, *np.linspace(-20, 20, 999)])
    approximate = x.astype(np.float32)
    sigmoid_(approximate)
    np.testing.assert_allclose(approximate, 1 / (1 + np.exp(-x)), rtol=0, atol=2e-7)
