"""Cut-offs of a small catalog."""

import warnings

import pytest

from nextclick.core.cutoffs import catalog_cutoff, catalog_cutoffs, catalog_metric
from nextclick.errors import ConfigError, NextclickWarning

LOWERED = "the catalog has 12 items: K = 20 is lowered to 12"


def test_a_cutoff_above_the_catalog_is_lowered_with_a_warning():
    with pytest.warns(NextclickWarning, match=LOWERED):
        assert catalog_cutoff(20, 12) == 12
    with pytest.warns(NextclickWarning, match=LOWERED):
        assert catalog_cutoffs([20, 5, 12, 5], 12) == (5, 12)
    with pytest.warns(NextclickWarning, match=LOWERED):
        assert catalog_metric("mrr@20", 12) == "mrr@12"


def test_a_cutoff_of_the_catalog_stays_as_it_is():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert catalog_cutoff(12, 12) == 12
        assert catalog_cutoffs((1, 12), 12) == (1, 12)
        assert catalog_metric("recall@12", 12) == "recall@12"


def test_a_cutoff_below_one_is_an_error():
    with pytest.raises(ConfigError, match=r"^k must be in 1\.\.12, the number of items; got 0"):
        catalog_cutoff(0, 12)
    with pytest.raises(ConfigError, match=r"ks must be in 1\.\.12, the number of items; got -1"):
        catalog_cutoffs([5, -1], 12)
    with pytest.raises(ConfigError, match="ks must name at least one cut-off"):
        catalog_cutoffs([], 12)
