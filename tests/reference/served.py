"""What a recommender answers beside what its model scores offline."""

import numpy as np

from nextclick import Recommender
from nextclick.batches.prefixes import prefix_blocks


def check_served_is_offline(folder, store, told=None):
    """Ask for every prefix of 25 sessions of the test; `told` may say more of a prefix.

    The ten best must be those of the model's scores, in their order, scores within 1e-5.
    """
    recommender = Recommender.load(folder)
    model, test = recommender.artifact.model, store.part("test").slice(0, 25)
    n = 0
    earlier = model.capabilities.earlier_sessions
    for block in prefix_blocks(
        test, mode="all", max_length=None, max_cells=999, n_rows=7, earlier_sessions=earlier
    ):
        scores = model.score(block.batch)
        for row in range(len(block)):
            session, length = block.session[row], int(block.batch.lengths[row])
            begin = test.offsets[session]
            clicked = test.items[begin : begin + block.position[row]]
            if length == 0 or not clicked.all():
                continue
            raw = [store.items.raw(int(i)) for i in clicked]
            more = {} if told is None else told(test, session, len(clicked))
            (found,) = recommender.recommend([raw], 10, **more)
            best = np.argsort(-scores[row, 1:], kind="stable")[:10] + 1
            assert found.items == [store.items.raw(int(i)) for i in best]
            np.testing.assert_allclose(found.scores, scores[row, best], atol=1e-5)
            n += 1
    assert n > 50
