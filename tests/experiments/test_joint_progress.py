"""The joint progress of pieces of different size."""

from nextclick.experiments.joint_progress import JointProgress


def test_pieces_fill_one_bar_in_proportion_and_never_go_backwards():
    calls = []
    joint = JointProgress(lambda *call: calls.append(call), [1, 3])
    first, second = joint.piece(0, "pop"), joint.piece(1)
    first("train", 1, 2)
    first("train", 5, 2)
    first("again", 0, None)
    second("score", 1, 3)
    assert calls == [
        ("pop, train", 500, 4000),
        ("pop, train", 1000, 4000),
        ("pop, again", 1000, 4000),
        ("score", 2000, 4000),
    ]
