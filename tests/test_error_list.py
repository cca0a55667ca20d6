"""docs/errors.md is the list of every error message and of the test that matches it."""

import pytest

from error_messages import PAGE, TREE, known_tests, messages, rows, share
from nextclick import errors


def test_every_message_is_listed_and_none_that_is_gone():
    listed = {(kind, message) for kind, message, _ in rows()}
    assert (messages() - listed, listed - messages()) == (set(), set()), (
        "docs/errors.md is not what the source raises; `python tests/error_messages.py` names both"
    )
    assert len(rows()) == len(listed)


def test_every_message_has_a_test_that_knows_its_words():
    texts = known_tests()
    unknown = [row for row in rows() if row[2] not in texts]
    assert unknown == []
    assert [(m, test) for _, m, test in rows() if not share(m, texts[test])] == []


def test_the_list_has_a_section_for_every_class_that_is_raised():
    raised = {kind for kind, _ in messages()}
    assert raised == {kind for kind, _, _ in rows()}
    # the roots of the tree are for catching, InternalError is told by the command line
    assert TREE - raised == {"NextclickError", "InputError", "InternalError"}


def test_every_row_says_cause_and_remedy():
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.replace(r"\|", "").split("|")[1:-1]]
            assert len(cells) == 4
            assert all(cells)
            assert cells[1].endswith(".")
            assert cells[2].endswith(".")


@pytest.mark.parametrize("name", sorted(TREE))
def test_the_tree_is_drawn_as_it_is(name):
    kind = getattr(errors, name)
    assert f" {name} " in f" {errors.__doc__} ".replace("\n", " ")
    assert issubclass(kind, errors.InputError) or name in ("NextclickError", "InternalError")
    assert kind.__doc__
