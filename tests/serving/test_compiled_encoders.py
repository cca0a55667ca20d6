"""The kernels say what the encoders say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.cosine_gru import CosineGRU, CosineGRUConfig
from nextclick.models.ops.gap_bins import GapBins
from nextclick.serving.request import RecommendationRequest, ResolvedRequest, to_batch
from nextclick.serving.search.compiled_cosine_gru import sigmoid_
from nextclick.serving.search.session_encoders import session_encoder
from reference.neural_cases import N, small_model, spread_weights


def wishes(rng):
    return [
        ResolvedRequest(
            original=RecommendationRequest((), 5),
            clicks=rng.integers(1, N + 1, n, dtype=np.int32),
            unknown=[],
            k=5,
            excluded=np.empty(0, np.int32),
            allowed=None,
            gaps=None,
            time_since_last_click=0.0,
            user=0,
        )
        for n in (1, 2, 3, 6, 7, 8, 12)  # some longer than what a model reads
    ]


def check(model, asked):
    compiled = session_encoder(model)
    for wish in asked:
        one = compiled.query(wish)
        expected = model.queries(to_batch([wish]))[0]
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [6, 7])  # four columns at a time, and a rest
def test_cosine_gru(width):
    torch.manual_seed(0)
    model = spread_weights(CosineGRU(CosineGRUConfig(width=width, max_length=7), N))
    model.encoder.keep_unit_vectors()
    asked = wishes(np.random.default_rng(0))
    clicks = [[3, 3, 3, 3, 3], [1, 2, 1, 2, 1], [4, 4, 4, 5, 4, 5]]  # up to three and more clicks
    check(model, asked + [replace(asked[0], clicks=np.array(c, dtype=np.int32)) for c in clicks])


def test_none_for_others():
    assert session_encoder(small_model("sasrec")) is None
    with_times = CosineGRUConfig(width=6, times=True)
    model = CosineGRU(with_times, N, DatasetInfo(None, GapBins(2.5, 9)))
    assert session_encoder(model) is None


def test_sigmoids_of_any_number():
    x = np.array([0, 1, -1, 30, -30, 200, -200, 1e-8, np.nan, *np.linspace(-20, 20, 999)])
    approximate = x.astype(np.float32)
    sigmoid_(approximate)
    np.testing.assert_allclose(approximate, 1 / (1 + np.exp(-x)), rtol=0, atol=2e-7)
