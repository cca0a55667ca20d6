"""Small random logs for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

N_ITEMS = 6

clicks = st.lists(st.integers(0, N_ITEMS), max_size=6)  # 0 is an unknown item
logs = st.lists(clicks, max_size=12)
prefixes = st.lists(st.integers(1, N_ITEMS), max_size=14)
