"""What is said of an input: what was found and what can be done about it, apart."""

import pytest

from daskals.errors import DataError
from daskals.ratings.notes import FRAME, Note, kept_notes, take_note, tell


def test_a_remedy_is_said_and_kept_apart(caplog: pytest.LogCaptureFixture) -> None:
    with kept_notes() as notes:
        take_note("%s: 100 %% of it", "a.csv", remedy="; divide by 100 %", doubt=True)
        take_note("read. Name it so")
    assert caplog.messages == ["a.csv: 100 % of it; divide by 100 %", "read. Name it so"]
    assert notes == [Note("a.csv: 100 % of it", True, "; divide by 100 %"), Note("read. Name it so")]
    assert [note.text for note in notes] == caplog.messages


@pytest.mark.parametrize(
    ("input_name", "named"), [(FRAME, 'catalogue="b.csv"'), ("a.csv", "--catalogue b.csv")]
)
def test_the_remedy_of_a_message_is_what_it_says_last(
    input_name: str, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = DataError("no titles. None", where="a.csv", expected="some", remedy="Use --catalogue=b.csv")
    with kept_notes() as notes:
        tell(error, input_name)
        tell(DataError("no titles", where="a.csv"), input_name)
    assert notes == [
        Note("a.csv: no titles. None; expected some", remedy=f". Use {named}."),
        Note("a.csv: no titles."),
    ]
    assert caplog.messages == [note.text for note in notes]
