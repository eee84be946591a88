"""Rules of the prompt: short and plain, within its budget, and nothing is left out without a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.draft import Block, Document, Section, count_words
from app.prompt import (
    CHAT_TOKENS,
    CONTEXT_WORDS,
    SYSTEM,
    WHOLE_WORDS,
    BriefTooLong,
    EmptyBrief,
    NothingToContinue,
    PromptError,
    Reading,
    beginning_of_part,
    end_that_fits,
    read_for,
    read_on,
    summary,
)

STORY = " ".join(f"This is sentence number {number}." for number in range(1, 301))


def tokens(text: str) -> int:
    """About what a tokenizer gives: words, and each other character for itself."""
    return len(re.findall(r" ?\w+|\n+|[^\w ]| ", text))


def section(
    number: int, title: str = "", brief: str = "", text: str = "", words: int = 150, style: str = ""
) -> Section:
    blocks = (Block(text, "writer"),) if text else ()
    return Section(number, 1, title, brief, words, "draft", 0, blocks, style)


def document(*sections: Section, title: str = "The Lighthouse", style: str = "") -> Document:
    return Document(1, title, 0, sections, "", "", style=style)


def reading(
    *sections: Section,
    budget: int = 8000,
    words: int | None = None,
    title: str = "The Lighthouse",
    style: str = "",
) -> Reading:
    """What is read for the last of the sections."""
    whole = document(*sections, title=title, style=style)
    return read_for(whole, sections[-1], count=tokens, budget=budget, words=words)


def test_the_task_is_told_in_plain_words() -> None:
    read = reading(section(1, "Night", "Fog comes in.", words=200))
    assert read.system == SYSTEM
    assert read.user == ("The Lighthouse: Night\n\nWrite about this: Fog comes in.\nWrite two or three paragraphs.")
    assert (read.so_far, read.left_out) == ("", ())


@pytest.mark.parametrize(
    ("title", "brief", "document_title", "user"),
    [
        ("Night", "", "", 'Write about "Night".\nWrite two or three paragraphs.'),
        ("Night", " ", "D", 'Write about "Night" for a text called "D".\nWrite two or three paragraphs.'),
        ("", "Fog.", "", "Write about this: Fog.\nWrite two or three paragraphs."),
        (" ", "Fog.\n", " ", "Write about this: Fog.\nWrite two or three paragraphs."),
        ("", "Fog.", "D", "D\n\nWrite about this: Fog.\nWrite two or three paragraphs."),
        ("Night", "Fog.", "", "Night\n\nWrite about this: Fog.\nWrite two or three paragraphs."),
    ],
)
def test_what_has_no_title_is_not_named(title: str, brief: str, document_title: str, user: str) -> None:
    assert reading(section(1, title, brief), title=document_title).user == user


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (1, "a few sentences"), (59, "a few sentences"), (60, "one paragraph"), (130, "two or three paragraphs"),
        (259, "two or three paragraphs"), (260, "several paragraphs"), (5000, "several paragraphs"),
    ],
)  # fmt: skip
def test_a_length_is_told_without_a_number_to_write_about(words: int, told: str) -> None:
    """Another one than the target can be asked for."""
    assert reading(section(1, "Night"), words=words).user.endswith(f"\nWrite {told}.")


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_a_section_without_title_and_brief_is_one_sentence(blank: str) -> None:
    with pytest.raises(EmptyBrief) as refused:
        reading(section(1, blank, blank, text="Even with text."))
    assert str(refused.value).count(".") == 1
    assert issubclass(EmptyBrief, PromptError)


def test_a_brief_longer_than_the_context_is_one_sentence() -> None:
    with pytest.raises(BriefTooLong) as refused:
        reading(section(1, "Night", "word " * 9000))
    assert re.fullmatch(r"The brief of “Night” is about \d+ tokens longer [^.]*\.", str(refused.value))


def test_a_brief_that_leaves_no_room_for_the_text_to_be_continued_is_too_long() -> None:
    brief = "word " * 300
    alone = reading(section(1, "", brief)).tokens
    assert reading(section(1, "", brief), budget=alone).tokens == alone
    with pytest.raises(BriefTooLong):
        reading(section(1, "", brief, text=STORY), budget=alone)


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "🏳️‍🌈 🙂", "שלום עולם", "<|im_start|>system", 'He said "no".', "# Not a heading"],
)
def test_titles_briefs_and_texts_pass_through_as_they_are(text: str) -> None:
    read = reading(section(1, "Before", text=f"{text} was before."), section(2, text, text, text), title=text)
    assert read.user.count(text) == 4
    assert read.so_far == text


def test_the_end_of_the_section_before_is_read_and_the_rest_is_told() -> None:
    read = reading(section(1, "Day", text="Long ago."), section(2, "Dusk", text=STORY), section(3, "Night"))
    head, _, task = read.user.rpartition("\n\n")
    outline, _, before = head.partition("\n\nThis was written before:\n\n")
    ending = before
    assert outline == "This comes first:\n\n- Day: Long ago."
    assert STORY.endswith(ending)
    assert ending.startswith("This is sentence")
    assert CONTEXT_WORDS - 5 < count_words(ending) <= CONTEXT_WORDS
    assert task.startswith('Write about "Night"')
    assert read.left_out == ("Of “Dusk” only the end is read.", "Of what stands before “Dusk” only an outline is read.")


def test_an_outline_gives_each_section_a_line_and_only_the_last_ones_are_in_it() -> None:
    before = [
        section(number, f"Day {number}", text=f"On day {number} it rained. Then more.") for number in range(1, 11)
    ]
    read = reading(*before, section(11, "Night"))
    lines = [line for line in read.user.splitlines() if line.startswith("- ")]
    assert lines == [f"- Day {number}: On day {number} it rained." for number in range(4, 10)]
    assert "only an outline of the last 6 sections is read" in read.left_out[-1]


def test_an_outline_gives_way_before_the_section_before_does() -> None:
    sections = [section(1, "Day", text="Long ago."), section(2, "Dusk", text="It grew dark."), section(3, "Night")]
    whole = reading(*sections)
    less = reading(*sections, budget=whole.tokens - 1)
    assert "Long ago" not in less.user
    assert "It grew dark." in less.user
    assert less.left_out == ("What stands before “Dusk” is left out.",)


def test_a_long_first_sentence_is_cut_in_the_outline() -> None:
    assert summary(section(1, "Day", text="word " * 40)) == "Day: " + "word " * 14 + "…"
    assert summary(section(1, "", text="It rained.")) == "It rained."


def test_a_style_sheet_is_read_with_the_task() -> None:
    read = reading(section(1, "Night", "Fog."), title="D", style=" Dry, and never “suddenly”.\n")
    assert read.user == (
        "D: Night\n\nWrite about this: Fog.\n"
        "Keep to this style: Dry, and never “suddenly”.\nWrite two or three paragraphs."
    )
    with pytest.raises(BriefTooLong, match="style sheet"):
        reading(section(1, "Night"), style="word " * 9000)


def test_a_sections_own_style_is_read_behind_the_style_sheet_and_that_of_no_other_section() -> None:
    dusk, night = section(1, "Dusk", style="Vivid."), section(2, "Night", "Fog.", style="\nWarm.\n")
    read = reading(dusk, night, title="D", style="Dry.\nMarten: the ferryman.")
    assert read.user == (
        "D: Night\n\nWrite about this: Fog.\n"
        "Keep to this style: Dry.\nMarten: the ferryman.\nWarm.\nWrite two or three paragraphs."
    )
    alone = reading(night, title="D")
    assert alone.user.endswith("Fog.\nKeep to this style: Warm.\nWrite two or three paragraphs.")
    assert [(part.title, part.tokens) for part in alone.parts if "style" in part.origin] == [
        ("Style of this section", tokens("Warm."))
    ]


@pytest.mark.parametrize("own", ["", " \n\t"])
def test_where_no_section_has_a_style_the_model_reads_what_it_always_read(own: str) -> None:
    day = section(1, "Day", text="Long ago.", style=own)
    dusk = section(2, "Dusk", text="It grew dark.", style=own)
    night = section(3, "Night", "Fog.", "It came", style=own)
    read = reading(day, dusk, night, title="D", style="Dry.\nMarten: the ferryman.\n")
    assert (read.system, read.so_far, read.left_out) == (
        "You are a helpful writing assistant.",
        "It came",
        ("Of what stands before “Dusk” only an outline is read.",),
    )
    assert read.user == (
        "This comes first:\n\n- Day: Long ago.\n\nThis was written before:\n\nIt grew dark.\n\n"
        "D: Night\n\nWrite about this: Fog.\n"
        "Keep to this style: Dry.\nMarten: the ferryman.\nWrite two or three paragraphs."
    )
    assert [part.origin for part in read.parts] == ["desk", "earlier", "before", "task", "style", "text"]
    assert reading(night, title="D").user == "D: Night\n\nWrite about this: Fog.\nWrite two or three paragraphs."


@pytest.mark.parametrize(
    ("shared", "own", "told"),
    [
        ("word " * 900, "", ", with the style sheet, is"),
        ("", "word " * 900, ", with its own style, is"),
        ("word " * 450, "word " * 450, ", with the style sheet and its own style, is"),
    ],
)
def test_a_style_that_leaves_no_room_is_named_in_the_refusal(shared: str, own: str, told: str) -> None:
    with pytest.raises(BriefTooLong, match=f"^The brief of “Night”{told}"):
        reading(section(1, "Night", style=own), style=shared, budget=500)


def test_a_sections_own_style_is_counted_before_something_is_left_out() -> None:
    dusk = section(1, "Dusk", text="The sun went down over the grey water and the long low hills. It was cold.")
    plain = reading(dusk, section(2, "Night"))
    styled = reading(dusk, section(2, "Night", style="Warm."), budget=plain.tokens)
    assert plain.left_out == ()
    assert styled.left_out == ("Of “Dusk” only the end is read.",)
    assert styled.tokens <= plain.tokens


def test_what_is_read_is_shown_by_where_it_comes_from() -> None:
    read = reading(
        section(1, "Day", text="Long ago."),
        section(2, "Dusk", text="It grew dark."),
        section(3, "Night", text="Fog", style="Warm."),
        style="Dry.",
    )
    assert [part.origin for part in read.parts] == ["desk", "earlier", "before", "task", "style", "own style", "text"]
    assert all(part.text in read.system + read.user + read.so_far for part in read.parts if part.origin != "task")
    assert sum(part.tokens for part in read.parts) <= read.tokens
    whole = document(section(1, "Day", text="Long ago."), section(2, "Night"))
    base = read_on(whole, whole.sections[1], count=tokens, budget=100)
    assert [part.origin for part in base.parts] == ["before"]


def test_a_short_section_before_is_read_whole_and_nothing_needs_to_be_told() -> None:
    read = reading(section(1, "Dusk", text="The sun went down.\n\nIt was cold.\n"), section(2, "Night"))
    assert "This was written before:\n\nThe sun went down.\n\nIt was cold.\n\nWrite about" in read.user
    assert read.left_out == ()


def test_planned_sections_between_are_passed_over() -> None:
    read = reading(section(1, "Dusk", text="The sun went down."), section(2, "Empty", text=" \n"), section(3, "Night"))
    assert "The sun went down." in read.user
    assert read.left_out == ()


def test_sections_behind_are_not_read() -> None:
    first = section(1, "Night", "Fog.")
    there = document(first, section(2, "Morning", text="The sun rose."))
    assert "rose" not in read_for(there, first, count=tokens, budget=8000).user


def test_the_section_before_gives_way_to_the_sections_own_text() -> None:
    own = section(2, "Night", text=STORY)
    alone = reading(own).tokens
    read = reading(section(1, "Dusk", text=STORY), own, budget=alone + 5)
    assert read.so_far == STORY
    assert "ends like this" not in read.user
    assert read.left_out == ("“Dusk” does not fit and is left out.",)
    more = reading(section(0, "Day", text=STORY), section(1, "", text=STORY), own, budget=alone + 5)
    assert more.left_out == ("The sections up to the untitled section do not fit and are left out.",)


def test_a_text_too_long_loses_its_beginning_at_a_sentence_and_says_so() -> None:
    read = reading(section(1, "Night", text=STORY), budget=500)
    assert STORY.endswith(read.so_far)
    assert read.so_far.startswith("This is sentence")
    assert 400 < read.tokens <= 500
    assert read.left_out == ("The beginning of “Night” does not fit and is left out.",)


def test_a_long_title_is_shortened_in_sentences() -> None:
    (sentence,) = reading(section(1, "Night " * 20, text=STORY), budget=500).left_out
    assert "Night…”" in sentence
    assert len(sentence) < 120


@given(
    st.integers(0, 1500),
    st.text("ab. \n", max_size=400),
    st.text("ab. \n", max_size=400),
    st.sampled_from([tokens, len, lambda text: len(text.encode()) // 3 + 1]),
)
def test_the_budget_is_kept_and_whatever_is_missing_is_told(
    budget: int, before: str, text: str, count: Callable[[str], int]
) -> None:
    own = section(2, "Night", "Fog.", text)
    there = document(section(1, "Dusk", text=before), own)
    try:
        read = read_for(there, own, count=count, budget=budget)
    except BriefTooLong:
        assume(False)
    assert read.tokens <= budget
    assert read.tokens == CHAT_TOKENS + count(read.system) + count(read.user) + count(read.so_far)
    assert text.endswith(read.so_far)
    assert any("“Night”" in sentence for sentence in read.left_out) == (read.so_far != text)
    if before.strip() and before.strip() not in read.user:
        assert any("“Dusk”" in sentence for sentence in read.left_out)


@given(st.text('ab.!\n "', max_size=80), st.integers(0, 80))
def test_the_end_that_fits_is_the_longest_from_a_sentence_on(text: str, room: int) -> None:
    end = end_that_fits(text, len, room)
    assert text.endswith(end)
    assert len(end) <= room
    starts = [match.end() for match in re.finditer(r"(?<=[.!])\"*\s+|\n+", text)]
    fitting = [text[start:] for start in [0, *starts] if len(text) - start <= room and text[start:].strip()]
    if fitting:
        assert end == fitting[0]
    elif text:
        assert end or not room


def test_one_endless_sentence_is_cut_at_a_word_and_an_endless_word_anywhere() -> None:
    assert end_that_fits("one two three four", len, 12) == "three four"
    assert end_that_fits("abcdefgh", len, 3) == "fgh"
    assert end_that_fits("東京は夜の七時。空は暗い。", len, 6) == "夜の七時。空は暗い。"[-6:]


def test_a_novel_is_measured_only_a_few_times() -> None:
    calls = []

    def count(text: str) -> int:
        calls.append(len(text))
        return tokens(text)

    own = section(1, "Night", text=STORY * 100)
    read_for(document(own), own, count=count, budget=4000)
    assert len(calls) < 40


# ------------------------------------------------------------------------------------ a model that continues text


def read_by_a_base_model(*sections: Section, budget: int = 8000, title: str = "The Lighthouse") -> Reading:
    return read_on(document(*sections, title=title), sections[-1], count=tokens, budget=budget)


def test_a_base_model_reads_the_document_as_it_stands_and_no_brief() -> None:
    before = section(1, "Day", "A brief.", "Long ago.\n")
    read = read_by_a_base_model(before, section(2, "Night", "Fog comes in.", "It was dark"))
    assert read.system == ""
    assert read.user == "The Lighthouse\n\nDay\n\nLong ago.\n\nNight\n\n"
    assert (read.so_far, read.left_out) == ("It was dark", ())


def test_what_has_neither_title_nor_text_leaves_no_empty_line() -> None:
    read = read_by_a_base_model(section(1), section(2, " ", text="It was dark"), title=" ")
    assert (read.user, read.so_far) == ("", "It was dark")


def test_on_an_empty_page_a_base_model_asks_for_opening_words_and_a_title_will_do() -> None:
    with pytest.raises(NothingToContinue) as refused:
        read_by_a_base_model(section(1, brief="Fog comes in.", text=" \n"), title="")
    assert re.fullmatch(r"[^.]*opening words[^.]*\.", str(refused.value))
    assert read_by_a_base_model(section(1, "Night"), title="").user == "Night\n\n"


def test_a_base_model_reads_the_last_sentences_that_fit_its_window() -> None:
    read = read_by_a_base_model(section(1, "Dusk", text=STORY), section(2, "Night", text="It was dark"), budget=100)
    assert read.user.startswith("This is sentence number 2")
    assert read.user.endswith("number 300.\n\nNight\n\n")
    assert 80 < read.tokens <= 101
    assert read.left_out == ("Only the end of what stands before is read.",)
    alone = read_by_a_base_model(section(1, "Dusk", text="Gone."), section(2, "Night", text=STORY), budget=100)
    assert (alone.user, STORY.endswith(alone.so_far), len(alone.left_out)) == ("", True, 1)


@given(st.integers(1, 300), st.text("ab. \n", max_size=400), st.text("ab. \n", max_size=400))
def test_the_window_is_kept_and_what_is_read_is_the_end_of_the_document(budget: int, before: str, text: str) -> None:
    own = section(2, "Night", "Fog.", text)
    read = read_by_a_base_model(section(1, "Dusk", text=before), own, budget=budget)
    assert tokens(read.user) + tokens(read.so_far) <= budget
    assert text.endswith(read.so_far)
    whole = read_by_a_base_model(section(1, "Dusk", text=before), own)
    assert whole.user.endswith(read.user)
    assert (read.user, read.so_far) == (whole.user, whole.so_far) or read.left_out


def test_a_novel_before_costs_a_base_model_little() -> None:
    calls = []

    def count(text: str) -> int:
        calls.append(len(text))
        return tokens(text)

    own = section(1, "Night", text=STORY * 100)
    read_on(document(own), own, count=count, budget=1000)
    assert sum(calls) < len(STORY) * 40


# ------------------------------------------------------------------------------------------------- part by part

PART = 5
PARAGRAPHS = st.lists(st.text("ab .", max_size=30), max_size=8).map("\n\n".join)


@given(PARAGRAPHS)
def test_a_part_begins_behind_an_empty_line_that_enough_words_stand_before(text: str) -> None:
    start, lines = beginning_of_part(text, PART), [line.end() for line in re.finditer(r"\n\n\s*", text)]
    assert start == 0 or start in lines
    assert start == 0 or count_words(text[:start]) >= PART
    assert all(count_words(text[start:line]) < PART for line in lines if line > start)
    assert beginning_of_part(text, 0) == 0


@given(PARAGRAPHS, st.text("ab .", min_size=1, max_size=30))
def test_a_text_that_grows_by_a_word_keeps_its_parts(text: str, more: str) -> None:
    """So what is read anew after a stop is what was read when it was written."""
    grown = f"{text}a{more}"
    assert beginning_of_part(grown, PART) in (beginning_of_part(text, PART), beginning_of_part(text + "a", PART))


def read_in_parts(*sections: Section, words: int | None = None) -> Reading:
    whole = document(*sections)
    return read_for(whole, sections[-1], count=tokens, budget=8000, words=words, part=90)


def test_a_long_section_is_asked_for_by_the_paragraph() -> None:
    read = read_in_parts(section(1, "Night", "Fog comes in.", words=400))
    assert read.user.endswith("Fog comes in.\nWrite one paragraph.")
    short = section(1, "Night", "Fog comes in.", words=WHOLE_WORDS)
    assert read_in_parts(short) == reading(short)


def test_of_a_long_section_the_earlier_parts_are_read_as_what_was_written_before() -> None:
    first = " ".join(f"Word {number}." for number in range(60))
    text = f"{first}\n\nAnd then"
    read = read_in_parts(section(1, "Dusk", text="It was dusk."), section(2, "Night", text=text, words=400))
    assert read.so_far == "And then"
    assert read.user.startswith("This comes first:\n\n- Dusk: It was dusk.\n\nThis was written before:\n\nWord 0. ")
    assert "Word 59.\n\nWrite about “Night”".replace("“", '"').replace("”", '"') in read.user
    assert read_in_parts(section(2, "Night", text=f"{first}\n\n", words=400)).so_far == ""
    assert read_in_parts(section(2, "Night", text=first, words=400)).so_far == first


@pytest.mark.parametrize(("there", "told"), [(0, "one paragraph"), (370, "a few sentences")])
def test_the_last_part_is_asked_for_by_what_is_lacking(there: int, told: str) -> None:
    text = " ".join(["word"] * (there - 1) + ["end."]) + "\n\n" if there else ""
    assert read_in_parts(section(1, "Night", text=text, words=400)).user.endswith(f"Write {told}.")
