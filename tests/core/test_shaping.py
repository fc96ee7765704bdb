"""The tags laid over the prompts: every must_include in, every ban_terms moved over, avoid_terms nowhere, nothing twice."""

from __future__ import annotations

import re
from typing import Any, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagination.model import Criterion, Prompts
from imagination.shaping import contains, opening_prompts, phrases, shape


def tags(must_include: Any = (), ban_terms: Any = (), avoid_terms: Any = ()) -> Criterion:
    return Criterion(
        field="f",
        question="Is it?",
        must_include=list(must_include),
        ban_terms=list(ban_terms),
        avoid_terms=list(avoid_terms),
    )


def shaped(positive: str, negative: str = "", **terms: Any) -> Tuple[str, str]:
    prompts = shape(Prompts(positive=positive, negative=negative), [tags(**terms)])
    return prompts.positive, prompts.negative


@pytest.mark.parametrize(
    ("positive", "negative", "terms", "expected"),
    [
        # required
        ("a man", "", {"must_include": ["dress shirt"]}, ("a man, dress shirt", "")),
        ("", "", {"must_include": ["suit", "tie"]}, ("suit, tie", "")),
        ("a man in a Dress  Shirt", "", {"must_include": ["dress shirt"]}, ("a man in a Dress Shirt", "")),
        ("a man, (dress-shirt:1.3)", "", {"must_include": ["dress shirt"]}, ("a man, (dress-shirt:1.3)", "")),
        ("suitcase", "", {"must_include": ["suit"]}, ("suitcase, suit", "")),
        ("a man,", "", {"must_include": ["suit"]}, ("a man, suit", "")),
        ("a man", "blurry, suit", {"must_include": ["suit"]}, ("a man, suit", "blurry")),
        # banned
        ("a man, hoodie, sky", "", {"ban_terms": ["hoodie"]}, ("a man, sky", "hoodie")),
        ("a man", "Hoodie, blurry", {"ban_terms": ["hoodie"]}, ("a man", "Hoodie, blurry")),
        ("state-of-the-art, art", "", {"ban_terms": ["art"]}, ("state-of-the-art", "art")),
        ("a t-shirt, a shirt", "", {"ban_terms": ["shirt"]}, ("a t-shirt, a", "shirt")),
        ("a t-shirt", "", {"ban_terms": ["T shirt"]}, ("a", "T shirt")),
        # avoided
        ("a man, uniform", "uniform, blurry", {"avoid_terms": ["uniform"]}, ("a man", "blurry")),
        # against each other
        ("dress shirt, shirt", "", {"must_include": ["dress shirt"], "ban_terms": ["shirt"]}, ("dress shirt", "shirt")),
        ("a suit", "suit", {"must_include": ["suit"], "ban_terms": ["suit"]}, ("a suit", "")),
        ("a suit", "suit", {"must_include": ["suit"], "avoid_terms": ["Suit"]}, ("a suit", "")),
        ("a cap", "cap, blurry", {"ban_terms": ["cap"], "avoid_terms": ["cap"]}, ("a", "blurry")),
        # twice
        ("sunset, lake, Sunset", "blurry, blurry", {}, ("sunset, lake", "blurry")),
        ("(sunset, sunset:1.2), lake", "", {}, ("(sunset, sunset:1.2), lake", "")),
        # what cutting leaves behind
        ("a man, (hoodie:1.3), sky", "", {"ban_terms": ["hoodie"]}, ("a man, sky", "hoodie")),
        ("(red coat, hoodie:1.2)", "", {"ban_terms": ["hoodie"]}, ("(red coat:1.2)", "hoodie")),
        ("(hoodie, red coat:1.2)", "", {"ban_terms": ["hoodie"]}, ("(red coat:1.2)", "hoodie")),
        ("[[hoodie]], sky", "", {"ban_terms": ["hoodie"]}, ("sky", "hoodie")),
        ("a man. Hoodie, sky.", "", {"ban_terms": ["hoodie"]}, ("a man., sky.", "hoodie")),
        ("red red hat hat", "", {"ban_terms": ["red hat"]}, ("", "red hat")),
        # terms that are none
        ("a - b", "", {"must_include": ["", "  "], "ban_terms": [""]}, ("a - b", "")),
        ("a man", "", {"ban_terms": ["(old:1.2)"]}, ("a man", "(old:1.2)")),
    ],
)
def test_tags_are_laid_over_the_prompts(positive: str, negative: str, terms: Any, expected: Tuple[str, str]) -> None:
    assert shaped(positive, negative, **terms) == expected


def test_the_tags_of_all_criteria_count_and_each_term_once() -> None:
    criteria = [tags(["suit"], ["hoodie"]), tags(["Suit", "tie"], ["HOODIE", "cap"])]
    assert shape(Prompts(), criteria) == Prompts(positive="suit, tie", negative="hoodie, cap")


def test_without_tags_a_prompt_stays_as_it_is() -> None:
    prompts = Prompts(positive="a (man:1.2) in f/8 light; \\(x\\), 50 % grey.", negative="")
    assert shape(prompts, [tags()]) == prompts


WORDS = st.sampled_from(["red", "hat", "t-shirt", "man", "old town", "sun_set", "a", "the"])
GLUE = st.sampled_from([", ", " ", ",", "-", " (", ":1.2) ", ". ", "\n", "  ", "[", "]"])
TEXTS = st.lists(st.tuples(WORDS, GLUE), max_size=12).map(lambda parts: "".join(word + glue for word, glue in parts))
TAGS = st.permutations(["red", "red hat", "t-shirt", "old town", "sunset", "man"]).map(
    lambda terms: tags(terms[:2], terms[2:4], terms[4:])
)


@settings(max_examples=150, deadline=None)
@given(TEXTS, TEXTS, TAGS)
def test_whatever_the_prompts_the_tags_hold(positive: str, negative: str, wanted: Criterion) -> None:
    got = shape(Prompts(positive=positive, negative=negative), [wanted])
    assert [term for term in wanted.must_include if not contains(got.positive, term)] == []
    assert [term for term in wanted.ban_terms if not contains(got.negative, term)] == []
    unwanted = [*wanted.ban_terms, *wanted.avoid_terms]
    assert [term for term in unwanted if contains(without(got.positive, wanted.must_include), term)] == []
    assert [term for term in wanted.avoid_terms if contains(without(got.negative, wanted.ban_terms), term)] == []
    if not set("()[]") & set(positive + negative):  # a bracket that is never closed swallows commas
        assert shape(got, [wanted]) == got


def without(text: str, terms: List[str]) -> str:
    """`text` with what must stand there blotted out: "red" inside a required "red hat" is no fault."""
    for term in terms:
        words = term.replace(" ", r"[\s_-]+")
        text = re.sub(rf"(?<!\w)(?<!\w-){words}(?!\w)(?!-\w)", "#", text)
    return text


@pytest.mark.parametrize(
    ("text", "term", "found"),
    [
        ("a Red coat", "red", True),
        ("a reddish coat", "red", False),
        ("red", "red", True),
        ("golden-hour light", "golden hour", True),
        ("golden_hour", "golden hour", True),
        ("golden, hour", "golden hour", False),
        ("half-red", "red", False),
        ("(red:1.3)", "red", True),
        ("été", "ete", False),
        ("anything", " ", False),
        ("a - b", "-", False),
    ],
)
def test_a_term_is_found_as_whole_words_in_any_case(text: str, term: str, found: bool) -> None:
    assert contains(text, term) is found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, b ,,c,", ["a", "b", "c"]),
        ("(a, b:1.2), c", ["(a, b:1.2)", "c"]),
        ("a\nb, c", ["a\nb", "c"]),
        (":), a", [":)", "a"]),
        ("", []),
    ],
)
def test_phrases_are_parted_by_commas_outside_brackets(text: str, expected: List[str]) -> None:
    assert phrases(text) == expected


@pytest.mark.parametrize(
    ("description", "positive"),
    [
        ("A car stands in a field. It is blue.", "A car stands in a field, red paint"),
        ("  A car\nin a field ;", "A car in a field, red paint"),
        ("", "red paint"),
        ("A melted car. Blue.", "A car, red paint"),
    ],
)
def test_empty_prompts_are_made_from_the_description_and_the_tags(description: str, positive: str) -> None:
    made = opening_prompts(description, [tags(["red paint"], ["melted"])])
    assert made == Prompts(positive=positive, negative="melted")


def test_a_description_without_an_end_is_cut() -> None:
    assert len(opening_prompts("word " * 500, []).positive) <= 300
