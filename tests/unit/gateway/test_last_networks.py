import pytest

from ownroot.gateway.standing import LastNetwork

HERE, THERE, ELSEWHERE = "203.0.0.0/16", "198.51.0.0/16", "192.0.0.0/16"


def last(*, text: str | None = HERE, stored: str | None = HERE, is_noting: bool = False) -> LastNetwork:
    """A key was used from `text` last, of which we know since turn 1."""
    made = LastNetwork()
    made.text, made.since, made.stored, made.is_noting = text, 1, stored, is_noting
    return made


@pytest.mark.parametrize("known", [last(), last(text=ELSEWHERE), last(text=None, stored=None), last(stored=None)])
def test_another_network_than_the_one_stored_before_is_news(known: LastNetwork) -> None:
    assert known.hear_of(THERE, 7)
    assert (known.text, known.since, known.stored) == (THERE, 7, THERE)


@pytest.mark.parametrize(
    ("known", "stored"),
    [
        (last(), HERE),
        (last(text=THERE, stored=HERE), HERE),  # what we saw since was not stored
        (last(text=THERE, stored=HERE), THERE),  # it was, by whom ever
        (last(is_noting=True), THERE),
        (last(), None),
    ],
)
def test_what_was_stored_before_or_is_known_or_older_than_a_note_is_none(
    known: LastNetwork, stored: str | None
) -> None:
    text = known.text
    assert not known.hear_of(stored, 7)
    assert (known.text, known.since) == (text, 1)
