"""Random scores with many ties, for hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from nextclick.core.types import SparseScores

few_values = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0])


@st.composite
def sparse_scores(draw: st.DrawFn) -> SparseScores:
    """1..3 rows over 1..8 items; a third of the bases are constant."""
    n_items, n_rows = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    if draw(st.integers(0, 2)) == 0:
        base = [draw(few_values)] * (n_items + 1)
    else:
        base = draw(st.lists(few_values, min_size=n_items + 1, max_size=n_items + 1))
    rows = [draw(st.sets(st.integers(1, n_items))) for _ in range(n_rows)]
    items = [item for row in rows for item in draw(st.permutations(sorted(row)))]
    values = draw(st.lists(few_values, min_size=len(items), max_size=len(items)))
    return SparseScores(
        offsets=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        items=np.array(items, dtype=np.int32),
        values=np.array(values, dtype=np.float32),
        base=np.array(base, dtype=np.float32),
    )
