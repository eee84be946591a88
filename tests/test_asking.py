"""Rules of asking: a kind of text is asked for as such, a subject as one to write about, an order stays as it is."""

from __future__ import annotations

import pytest

from model.asking import wish


@pytest.mark.parametrize(
    ("brief", "asked"),
    [
        ("A letter to a friend.", "Write a letter to a friend."),
        ("An e-mail about the rent", "Write an e-mail about the rent"),
        ("The first chapter of a novel: fog.", "Write the first chapter of a novel: fog."),
        ("A short, dry report", "Write about this: A short, dry report"),
        ("a bedtime story", "Write a bedtime story"),
        ("A letter arrives.", "Write about this: A letter arrives."),
        ("A lighthouse keeper counts the ships.", "Write about this: A lighthouse keeper counts the ships."),
        ("Letters", "Write about this: Letters"),
        ("Write a letter.", "Write a letter."),
        ("explain how bees find home", "explain how bees find home"),
        ("Writers and their desks", "Write about this: Writers and their desks"),
    ],
)
def test_a_brief_becomes_a_wish(brief: str, asked: str) -> None:
    assert wish(brief) == asked
