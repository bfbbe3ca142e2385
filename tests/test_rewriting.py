"""Taking meta-talk off a rewritten answer: what speaks of the rewriting goes, what answers stays."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.rewriting import Rewrite, clean_rewrite
from rewards.rubric import form, neutral

DATA = Path(os.environ.get("ARENA_DATA") or Path(__file__).parents[2] / "shared" / "data")
ORIGINAL = "Heat pumps are fridges, I think."
BODY = "A heat pump moves heat.\n\nIt needs some power for that:\n- a compressor\n- a fan"
PIECES = [
    *("Here is the improved answer:", "Sure!", "Sure,", "Certainly, I apologise.", "Answer:", "**Revised**"),
    *("As an AI, I cannot", "Thank you for your feedback.", "I'm sorry."),
    *("I hope this helps!", "Let me know", "Changes made:", "This revised answer now", "Note: I added"),
    *('"', "“", "”", "```", "```python\n", "\n", "\n\n", " ", ".", ":", "---", "heat", "İ", "ßa"),
    "No changes needed.",
]
TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=40)
"""Texts of what rewrites and their wrappings are made of."""


def rewrites(name: str) -> Iterator[tuple[str, str]]:
    """(rewrite, original) of a file of real data; the test is skipped where it is not there."""
    path = DATA / "sft" / name
    if not path.is_file():
        pytest.skip(f"no {name}: set ARENA_DATA to a folder with sft/{name}")
    for line in path.read_text(encoding="utf-8").split("\n"):
        steps = json.loads(line)["outputs"] if line else []
        for before, after in zip(steps, steps[1:], strict=False):
            yield after["output"], before["output"]


@pytest.mark.parametrize(
    "lead",
    [
        "Here is the improved answer:\n\n",
        "Here’s a revised version of the text: ",
        "Sure! Here's a revised version of the response:\n\n",
        "Sure, here is my revised answer based on your feedback:\n",
        "Certainly, I apologise for the confusion, here is the corrected response:\n\n",
        "I apologise for the mistake. Here is a better answer:\n\n",
        "Thank you for the feedback! Here is the revised explanation with more detail:\n\n",
        "Based on the comment, here's an updated explanation of heat pumps.\n\n",
        "Here is a shorter, more precise version of the reply:\n---\n",
        "Improved answer:\n",
        "**Revised Summary**\n\n",
        "### Revised response:\n",
        "**Improved answer:** ",
        "A better response is:\n",
        "A better answer to the question would be: ",
        "I have rewritten the answer as follows:\n\n",
        "Sure!\n\n",
        "Revision: ",
    ],
)
def test_an_announcement_is_taken_off(lead: str) -> None:
    """A sentence, a heading or an assent before the text."""
    assert clean_rewrite(lead + BODY, ORIGINAL) == Rewrite(BODY, "ok")


@pytest.mark.parametrize(
    "tail",
    [
        "\n\nI hope this helps!",
        "\n\nThis revised answer now includes the parts and is easier to read.",
        "\n\nLet me know if you have any questions.",
        "\nPlease let me know what you think!",
        "\n\nChanges made: added the parts.",
        "\n\n**Changes made:**\n\n- I added the parts.\n- I cut the rest.\n\nI hope this helps.",
        "\n\nNote: I added the parts.",
        "\n\n---\n\n*Note that I have kept the tone.*",
        "\n\nIn this revision, I have added the parts.",
        "\n\nExplanation of changes:\nThe parts were added.",
        "\n\nThis updated explanation is shorter than the original one.",
        "\n\nRevision is not needed.",
    ],
)
def test_a_closing_is_taken_off(tail: str) -> None:
    """A paragraph, a line or a list behind the text that speaks of the rewriting."""
    assert clean_rewrite(BODY + tail, ORIGINAL) == Rewrite(BODY, "ok")


@pytest.mark.parametrize(
    "wrapped", [f'"{BODY}"', f"“{BODY}”", f"```\n{BODY}\n```", f"```text\n{BODY}\n```", f'```\n"{BODY}"\n```']
)
def test_a_wrapping_around_the_whole_is_taken_off(wrapped: str) -> None:
    """Quotation marks and a code block, also behind an announcement."""
    assert clean_rewrite(wrapped, ORIGINAL).text == BODY
    assert clean_rewrite(f"Sure! Here is my revised answer:\n\n{wrapped}", ORIGINAL).text == BODY


@pytest.mark.parametrize(
    "content",
    [
        BODY,
        "Here is how a heat pump works: it moves heat.",
        "Here is a Python function that adds two numbers:\n\n```python\ndef add(a, b): ...\n```",
        "Here are three reasons:\n1. Cost\n2. Noise\n3. Size",
        "Here is a better way to cook rice: soak it first.",
        "This is the new law: nobody may smoke.",
        "Thank you for your letter. Your parcel is on its way.",
        "I apologise for the delay. Your parcel is on its way.",
        "You need three things:\n- salt\n- oil\n- rice",
        "Cook the rice.\n\nFeel free to add salt to your taste.",
        "Ohm's law is V = I R.\n\nNote that I is the current.",
        "I have a new dog: Rex.",
        "She wept.\n\nI hope he comes back, she said.",
        "The answer is: 42",
        '"To be" or "not to be", that is the question.',
        "Use `add`:\n```\nadd(1, 2)\n```\nIt gives 3.\n```\n3\n```",
        "The new version of Python includes a faster interpreter.",
        "Sure enough, the heat came back.",
        "def add(a, b): ...\n\nThis updated function takes two numbers.",
        "Revised laws apply since May.",
        "The law changed.\n\nChanges made by the new government:\n- taxes fell",
    ],
)
def test_content_that_looks_like_meta_talk_stays(content: str) -> None:
    """An introduction to a thing, a list after a colon, politeness of a letter, quoted words."""
    assert clean_rewrite(content, ORIGINAL) == Rewrite(content, "ok")


def test_an_assent_alone_goes_and_no_more() -> None:
    """The sentence begins with a capital again."""
    assert clean_rewrite("Sure, photosynthesis makes sugar.", ORIGINAL).text == "Photosynthesis makes sugar."
    assert clean_rewrite("Of course! It makes sugar.", ORIGINAL).text == "It makes sugar."


@pytest.mark.parametrize(
    ("original", "raw"),
    [
        ("Sure, come in!", "Sure, do come in!"),
        ("Rain is wet. I hope this helps!", "Rain is water.\n\nI hope this helps!"),
        ('"Rain is wet."', '"Rain is water."'),
        ("```\nprint(1)\n```", "```\nprint(2)\n```"),
        ("Here is the new draft: rain.", "Here is the new draft: snow."),
    ],
)
def test_what_the_original_does_as_well_stays(original: str, raw: str) -> None:
    """There it is part of the answer."""
    assert clean_rewrite(raw, original) == Rewrite(raw, "ok")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("...", "empty"),
        ("```\n```", "empty"),
        ("```python\n\n```", "empty"),
        ("Here is the improved answer:", "meta"),
        ("Sure! Here's a revised version of the response:\n\nI hope this helps!", "meta"),
        ("This revised answer now includes more details.", "meta"),
        ("No changes are needed.", "meta"),
        ("The answer doesn't need any changes.", "meta"),
    ],
)
def test_no_text_is_left(raw: str, status: str) -> None:
    """Nothing was written, or nothing but meta-talk."""
    assert clean_rewrite(raw, ORIGINAL) == Rewrite("", status)


@pytest.mark.parametrize(
    ("raw", "original", "status"),
    [
        ("heat pumps are fridges: I THINK!", ORIGINAL, "equal"),
        ("Here is the revised answer:\n\nHeat pumps\nare **fridges**, I think.", ORIGINAL, "equal"),
        ("Rain.", "Sure! Here is the answer: Rain.", "equal"),
        ("Heat pumps are not fridges, I think.", ORIGINAL, "ok"),
        ("if a < b: c", "if a > b: c", "ok"),
        ("a + b", "a - b", "ok"),
    ],
)
def test_the_same_words_are_no_rewrite(raw: str, original: str, status: str) -> None:
    """Up to case, spacing, punctuation and meta-talk; other operators are other words."""
    assert clean_rewrite(raw, original).status == status


@pytest.mark.parametrize(
    "raw",
    [
        f"{BODY}\n\nImprove your own answer with what is right in theirs and missing from yours.",
        f"{BODY}\n\nThis has no word about the other experts or their answers.",
        f"{BODY}</answers>",
        f"eve: {BODY}{neutral('</answers>')}\nHeat pumps cool as well.",
        f"<Answers> {BODY}",
        f"{BODY}\n</answers",
    ],
)
def test_a_text_that_repeats_the_request_is_no_rewrite(raw: str) -> None:
    """Eight of its words in a row or one of its delimiters; but not where the original has them too."""
    told = form("panel", answers="")
    assert clean_rewrite(raw, ORIGINAL, told) == Rewrite("", "meta")
    assert clean_rewrite(raw, ORIGINAL).status == "ok"
    assert clean_rewrite(f"{raw} Now.", raw, told).status == "ok"


@pytest.mark.parametrize(
    "raw",
    [
        BODY,
        "Heat pumps are what other experts improve: what is right in theirs is missing from yours.",
        "Set a < answers and answers > b.",
        "<feedback>Good.</feedback>",
        "The experts gave the same answers. Write the improved answer only.",
    ],
)
def test_words_in_common_with_the_request_do_no_harm(raw: str) -> None:
    """Fewer than eight in a row, or delimiters of another request."""
    assert clean_rewrite(raw, ORIGINAL, form("panel", answers="")) == Rewrite(raw, "ok")


REFUSALS = [
    "I'm sorry, but as an AI, I'm not able to provide personal feedback.",
    "As an AI language model, I cannot rewrite this. Please provide more details.",
    'As a language model AI, I cannot tell what you mean by "a colon." Could you please give details?',
    "I’m sorry, but I can’t assist with that request.",
    "I apologize for the confusion, but I am unable to answer your question.",
    "I'm sorry, but as an AI, I'm not able to provide personal feedback. I'll not provide any personal "
    "criticism unless you ask. If you need help with editing, feel free to ask. I'm here to assist you.",
    "As an AI, I am unable to revise it. However, to give a solution, more information is needed.",
    "Unfortunately, I cannot help you with this task. Is there anything else?",
]
REPLIES = [
    "You're right, the feedback is not constructive.",
    "Thank you for your feedback! I will try to do better. Please let me know what you think.",
    "I appreciate the feedback and agree with it.",
    "Your feedback is helpful. I'm sorry for the mistake.",
    "The feedback you gave was too long.",
    "You're right, the feedback is not constructive. You've already edited the answer. If you want to "
    "improve on the feedback, you could rephrase the sentence to:",
]


@pytest.mark.parametrize("talk", [*REFUSALS, *REPLIES])
def test_a_refusal_or_a_reply_to_the_feedback_is_no_answer(talk: str) -> None:
    """It is meta-talk, and is cut off where an answer follows in another paragraph."""
    assert clean_rewrite(talk, ORIGINAL) == Rewrite("", "meta")
    assert clean_rewrite(f"{talk}\n\n{REPLIES[0]}", ORIGINAL) == Rewrite("", "meta")
    assert clean_rewrite(f"{talk}\n\n{BODY}", ORIGINAL) == Rewrite(BODY, "ok")


@pytest.mark.parametrize(
    ("raw", "original"),
    [
        ("I'm sorry, but I can't come on Friday.", ORIGINAL),
        ("I cannot recommend heat pumps for old houses.", ORIGINAL),
        ("You're right, heat pumps are fridges.", ORIGINAL),
        ("The feedback of the thermostat keeps the room warm.", ORIGINAL),
        ("Thank you for your feedback! A heat pump moves heat.", ORIGINAL),
        ("Thanks for the feedback: a heat pump moves heat.", ORIGINAL),
        ("As an AI, I cannot feel heat. A pump moves it.", ORIGINAL),
        ("As an AI, I cannot feel heat, but a heat pump moves it.", ORIGINAL),
        ("As an AI, I cannot feel heat, sorry.", "As an AI language model, I can't feel heat."),
        ("Thank you for your feedback.\n\nWe will mend it.", "Dear customer, thanks for the feedback."),
        ("Doctors say: I'm sorry, but I can't help with that.", ORIGINAL),
    ],
)
def test_an_answer_in_such_words_stays(raw: str, original: str) -> None:
    """With content in the same paragraph, in other matters, or where the original speaks like that."""
    assert clean_rewrite(raw, original) == Rewrite(raw, "ok")


@settings(max_examples=500, deadline=None)
@given(raw=TEXT, original=TEXT)
def test_a_clean_text_stays_as_it_is(raw: str, original: str) -> None:
    """Never longer than it was; text exactly where there is a rewrite; cleaned twice is cleaned once."""
    clean = clean_rewrite(raw, original)
    assert clean.status in {"ok", "empty", "meta", "equal"}
    assert len(clean.text) <= len(raw)
    assert bool(clean.text) == (clean.status in {"ok", "equal"})
    if clean.text:
        assert clean_rewrite(clean.text, original) == clean


@pytest.mark.parametrize(
    ("name", "meta_talk"), [("selfee_feedback_mbpp.jsonl", 0.58), ("selfee_feedback_conala.jsonl", 0.09)]
)
def test_real_rewrites_are_cleaned(name: str, meta_talk: float) -> None:
    """The share with something to take off, as found by reading a sample; each keeps a text, or nothing."""
    pairs = list(rewrites(name))
    cleaned = [clean_rewrite(raw, original) for raw, original in pairs]
    changed = sum(clean.text != raw.strip() for clean, (raw, _) in zip(cleaned, pairs, strict=True))
    assert changed / len(pairs) == pytest.approx(meta_talk, abs=0.02)
    count = Counter(clean.status for clean in cleaned)
    assert count["ok"] / len(pairs) > 0.95
    assert count["meta"] + count["empty"] <= 0.01 * len(pairs)
    for clean, (_, original) in zip(cleaned, pairs, strict=True):
        assert clean_rewrite(clean.text, original).text == clean.text
