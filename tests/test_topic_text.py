"""A topic out of what a model says: a table of cases, and real sentences."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.topic_text import MIN_WORDS, clean_topic

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("ARENA_DATA", ROOT.parent / "shared" / "data"))
QUESTION = "Can forests remember drought?"


@pytest.mark.parametrize(
    "said",
    [
        "Can forests remember drought?",
        "  Can forests\tremember   drought? \n",
        "Here is a topic: Can forests remember drought?",
        "Here's a thought-provoking topic for discussion:\n\nCan forests remember drought?",
        "Here’s one possible question: Can forests remember drought?",
        "Here is a topic that two biologists might like: Can forests remember drought?",
        "Sure! Can forests remember drought?",
        "Sure, Can forests remember drought?",
        "Sure! Here is a topic discussion:\n\n**Topic:** Can forests remember drought?",
        "Certainly. Here's an intellectually rich topic: *Can forests remember drought?*",
        "Of course! I'd suggest the following topic from ecology: “Can forests remember drought?”",
        "Topic: Can forests remember drought?",
        "topic - Can forests remember drought?",
        "Topic 1: Can forests remember drought?",
        "**Topic:** Can forests remember drought?",
        "**Topic**: Can forests remember drought?",
        "**Topic: Can forests remember drought?**",
        "__Discussion Topic__ – Can forests remember drought?",
        "### Topic\n\nCan forests remember drought?",
        "## Can forests remember drought?",
        "> Can forests remember drought?",
        "`Can forests remember drought?`",
        '"Can forests remember drought?"',
        "'Can forests remember drought?'",
        "“Can forests remember drought?”",
        '"Can forests remember drought?".',
        '"Can forests remember drought?',
        'The topic is "Can forests remember drought?"',
        'One possible topic could be: "Can forests remember drought?"',
        'The answer to this question is: "Can forests remember drought?"',
        '"Can forests remember drought?" is a topic that joins ecology and chemistry.',
        "1. Can forests remember drought?\n2. Should judges be elected?",
        "(1) Can forests remember drought?",
        "**1.** Can forests remember drought?",
        "1) **Can forests remember drought?**",
        "- Can forests remember drought?",
        "• Can forests remember drought?",
        "Topic:\n1. Can forests remember drought?",
        "🌲 **Topic:** Can forests remember drought?",
        "Assistant: Can forests remember drought?",
        "Ecology\n\nCan forests remember drought?",
        "Can forests remember drought? This topic invites two views.",
        "Can forests remember drought?\n\nThis topic explores memory in trees.",
        "Can forests remember drought? Let me know if you would like another one!",
        "Can forests remember drought? (4 words)",
        "Can forests remember drought? [one sentence]",
        "What a great question! Can forests remember drought?",
        "I'm not an ecologist. Can forests remember drought?",
    ],
)
def test_what_models_say_around_a_topic_goes(said: str) -> None:
    """Each form is stripped to the same question."""
    assert clean_topic(said) == QUESTION


@pytest.mark.parametrize(
    "topic",
    [
        "The question of consciousness: can it be measured?",
        "Proposition 13: did it help the schools of California?",
        "World War I and the question of guilt: who decided what?",
        "Which matters more for bread: the flour, the fermentation or the oven?",
        "Newton vs. Leibniz in the light of their letters",
        "Should the U.S. Federal Reserve aim at wages?",
        "What did Dr. Semmelweis prove, and to whom?",
        "Does A. thaliana deserve its place as the model plant?",
        "J. S. Bach wrote more for the court than for the church.",
        "Is No. 5 the best of Mahler's symphonies?",
        "Is 'Ulysses' a comic novel?",
        "'Nature' or 'nurture'",
        '"Nature" or "nurture"',
        'Is "junk" DNA useful?',
        "Does the experts' view count for more than the voters'?",
        "Are C*-algebras the right language for physics?",
        "Is x_1 * x_2 a better feature than either?",
        "3D printing will change how bones are repaired.",
        "1984 was a turning point in the history of computing.",
        "Ist die Mathematik entdeckt oder erfunden?",
    ],
)
def test_a_topic_that_stands_alone_stays_as_it_is(topic: str) -> None:
    """Colons, quotations, abbreviations and numbers of its own are no markup."""
    assert clean_topic(topic) == topic


@pytest.mark.parametrize(
    "said",
    [
        "",
        " \n\t\n",
        "...",
        "Dark matter",
        "Sure!",
        "Here is a topic for discussion.",
        "Here are some topics that experts in many fields discuss:",
        "Consider the following dilemma of modern medicine:",
        "This topic combines concrete and abstract questions.",
        "I'm sorry, I cannot help with that.",
        "As an AI language model, I have no opinions.",
        "Please tell me what field interests you.",
        "What a wonderful request!",
        "**Topic:**",
        '""',
    ],
)
def test_talk_without_a_topic_gives_nothing(said: str) -> None:
    """Nothing is made up where nothing was said."""
    assert clean_topic(said) == ""


def test_a_note_on_the_length_is_no_part_of_a_title() -> None:
    """Other brackets stay."""
    assert clean_topic("The memory of trees (4 words)") == "The memory of trees"
    assert clean_topic("The memory of trees (and moss)") == "The memory of trees (and moss)"


def test_only_the_first_topic_is_taken() -> None:
    """A second sentence is not part of it."""
    said = "Machines now write proofs. Should journals print them? Yes or no?"
    assert clean_topic(said) == "Machines now write proofs."


@given(st.text(alphabet=st.sampled_from("aB .?!:\"'*_-#1)(\n“”’–"), max_size=60) | st.text(max_size=60))
def test_any_text_gives_one_line_or_nothing(text: str) -> None:
    """No text is an error; a topic has its least number of words, no line break and no loose space."""
    topic = clean_topic(text)
    assert topic == "" or len(topic.split()) >= MIN_WORDS
    assert topic == topic.strip()
    assert len(topic.splitlines()) <= 1


@pytest.mark.parametrize("unit", ["a ", '"a" ', "*a ", "here is ", "(", "a. B", "1. ", "here is: "])
def test_a_long_line_takes_no_long_time(unit: str) -> None:
    """The patterns do not go back and forth over a line of 200 000 characters."""
    begin = time.process_time()
    clean_topic(unit * (200_000 // len(unit)))
    assert time.process_time() - begin < 1


def test_the_real_openings_of_two_models_become_topics() -> None:
    """Ten topics that Llama and Mixtral made, with their lead-ins, markdown and explanations."""
    path = DATA / "convs" / "expert_chat_examples.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path}; set ARENA_DATA")
    raw = []
    for line in path.read_text(encoding="utf-8").splitlines():
        system = json.loads(json.loads(line)["text"])[0]["content"]
        raw.append(system.partition("The discussion topic is:")[2])
    topics = {clean_topic(text) for text in raw}
    assert topics == {
        "The Impact of Artificial Intelligence on the Future of Work: Opportunities and Challenges",
        "The Ethics of Artificial Intelligence in Healthcare: A Debate on the Balancing Act between "
        "Advancements and Patient Autonomy",
        "The Ethics of Artificial Intelligence in Healthcare: Should AI Systems be Held Accountable for "
        "Medical Mistakes?",
        "Exploring intersectionality: How identities such religion, race, gender intertwine influencing "
        "societal percepetions.",
    }


def test_real_questions_of_experts_are_left_alone() -> None:
    """Of single sentences that people wrote, at least 98 in 100 pass unchanged."""
    path = DATA / "prompts" / "expertqa_questions.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path}; set ARENA_DATA")
    asked = [json.loads(line)["turns"][0] for line in path.read_text(encoding="utf-8").splitlines()]
    plain = [" ".join(text.split()) for text in asked]
    single = [text for text in plain if not any(end in text for end in (". ", "? ", "! "))]
    assert len(single) > 1000
    assert sum(clean_topic(text) == text for text in single) >= 0.98 * len(single)
