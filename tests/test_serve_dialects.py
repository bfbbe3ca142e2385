"""What clients send becomes items, and verdicts become what clients read; nothing is made up in between."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.dialogue import Message
from arena.serving.dialects import DIALECTS, Dialect, cut
from arena.serving.items import Item
from arena.serving.refusal import Refusal
from rewards.verdict import Verdict

BY_PATH = {dialect.path: dialect for dialect in DIALECTS}
SCORE, GENERATE = BY_PATH["/v1/score"], BY_PATH["/generate"]
SCORES, GET_REWARD = BY_PATH["/scores"], BY_PATH["/get_reward"]

GOOD = Verdict("k1", "j", rating=7.75, reward=0.5, scale="rating", raw="words", cosine=0.25)
ABSTAINED = Verdict("k2", "j", status="rating_no_rating_meant", rating=None)


def user(text: str) -> tuple[Message, ...]:
    """A prompt of one message."""
    return (Message(role="user", content=text),)


def items(count: int) -> list[Item]:
    """So many, with names of their own."""
    return [Item(f"name{number}", user("q"), "a") for number in range(count)]


def refused(dialect: Dialect, body: Any) -> str:
    """Why a body is not taken."""
    with pytest.raises(Refusal) as caught:
        dialect.read(body)
    assert caught.value.status == 422 and list(caught.value.body) == ["error"]
    return str(caught.value)


def test_prompts_are_texts_or_conversations() -> None:
    """An item without a name is called by its position."""
    said = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    found = SCORE.read(
        {"items": [{"prompt": "q", "completion": "a", "id": "x"}, {"prompt": said, "completion": "b"}]}
    )
    conversation = (Message(role="system", content="s"), Message(role="user", content="q"))
    assert found == [Item("x", user("q"), "a"), Item("1", conversation, "b")]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "the body is a list; it must be an object with items"),
        (None, "the body is missing or null"),
        ({}, "items is missing or null; it must be a list"),
        ({"items": {}}, "items is an object; it must be a list"),
        ({"items": ["x"]}, "item 0 is a string; it must be an object"),
        ({"items": [{"prompt": "q", "completion": "a"}, {"completion": "a"}]}, "item 1: prompt is missing"),
        ({"items": [{"prompt": [], "completion": "a"}]}, "item 0: prompt is an empty list"),
        ({"items": [{"prompt": ["q"], "completion": "a"}]}, "item 0: prompt, message 0 must be an object"),
        ({"items": [{"prompt": [{"role": "tool", "content": ""}]}]}, "a role of system, user, assistant"),
        ({"items": [{"prompt": [{"role": ["user"], "content": ""}]}]}, "a role of system, user, assistant"),
        ({"items": [{"prompt": [{"role": "user"}]}]}, "message 0: content is missing"),
        (
            {"items": [{"prompt": "q", "completion": 5}]},
            "item 0: completion is a number; it must be a string",
        ),
        ({"items": [{"prompt": "q", "completion": True}]}, "item 0: completion is a truth value"),
        ({"items": [{"prompt": "q", "completion": "a", "id": 7}]}, "item 0: id is a number"),
        (
            {"items": [{"prompt": "q", "completion": "\ud800"}]},
            "item 0: completion has half a surrogate pair",
        ),
    ],
)
def test_a_body_of_another_form_is_refused_by_item_and_field(body: Any, told: str) -> None:
    """So that its sender finds it."""
    assert told in refused(SCORE, body)


@pytest.mark.parametrize("dialect", [GENERATE, SCORES])
def test_messages_must_be_texts(dialect: Dialect) -> None:
    """A conversation as a list of messages is not what these clients send."""
    assert "item 1: messages is an object" in refused(dialect, {"messages": ["a", {"role": "user"}]})
    assert "messages is a string" in refused(dialect, {"messages": "a"})


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["items", "prompt", "query"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["items", "messages", "query", "prompts", "prompt", "completion", "role"]),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(body: Any) -> None:
    """No other error, whatever comes."""
    for dialect in DIALECTS:
        try:
            assert all(item.prompt and isinstance(item.completion, str) for item in dialect.read(body))
        except Refusal as refusal:
            assert refusal.status == 422


def test_our_own_reply_has_null_and_says_why() -> None:
    """A reward that is no number is none."""
    lost = Verdict("k3", "j", rating=float("nan"), reward=float("nan"), scale="rating")
    body = SCORE.write(items(3), [GOOD, ABSTAINED, lost], "judge")
    assert body["rewards"] == [0.5, None, None] and body["judge"] == "judge"
    assert [detail["id"] for detail in body["details"]] == ["name0", "name1", "name2"]
    assert [d["status"] for d in body["details"]] == ["ok", "rating_no_rating_meant", "not_a_number"]
    assert [detail["rating"] for detail in body["details"]] == [7.75, None, None]
    assert (body["details"][0]["cosine"], body["details"][0]["wim"]) == (0.25, "")
    json.dumps(body, allow_nan=False)


def test_the_ancestor_gets_a_tenth_of_the_rating_else_the_reward_else_null() -> None:
    """Each message its own; an abstention with a rating of its own is still none."""
    scored = Verdict("k", "j", reward=-2.5, scale="score")
    half = Verdict("k", "j", status="wim_empty", rating=6.0)
    assert [item.completion for item in GENERATE.read({"messages": ["a", "b"]})] == ["a", "b"]
    body = GENERATE.write(items(4), [GOOD, scored, ABSTAINED, half], "judge")
    assert body == {"rewards": [0.775, -2.5, None, None]}


def test_clients_that_make_tensors_get_numbers_or_a_refusal_that_names_the_items() -> None:
    """Never null, and never a number in its place."""
    assert SCORES.write(items(2), [GOOD, GOOD], "judge") == {"scores": [0.5, 0.5]}
    whole = {"rewards": [0.5], "scores": [0.5], "extra_logs": {}}
    assert GET_REWARD.write(items(1), [GOOD], "judge") == whole
    for dialect in (SCORES, GET_REWARD):
        with pytest.raises(
            Refusal, match=r"1 of 2 items could not be judged: 1 \(rating_no_rating_mea"
        ) as caught:
            dialect.write(items(2), [GOOD, ABSTAINED], "judge")
        assert caught.value.status == 422
        assert caught.value.body["items"] == [{"item": 1, "status": "rating_no_rating_meant"}]
        assert not {"rewards", "scores"} & set(caught.value.body)


@pytest.mark.parametrize(
    ("text", "prompt", "answer"),
    [
        ("plain words ", "", "plain words "),
        ("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na\nb<|im_end|>\n", "q", "a\nb"),
        ("<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|><|end_of_text|>", "q", "a"),
        ("<bos><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>", "q", "a"),
        ("<s>[INST] q [/INST] a</s>", "q", " a"),
        ("q[/INST]first [/INST] second", "q", "first [/INST] second"),
        ("q[/INST]</s></s> ", "q", ""),
    ],
)  # fmt: skip
def test_prompt_and_answer_are_told_apart_at_the_first_mark(text: str, prompt: str, answer: str) -> None:
    """A later mark, which the policy may have written, moves nothing."""
    found, said = cut(text)
    assert said == answer and prompt in found
    [item] = SCORES.read({"model": "model", "messages": [text]})
    assert (item.prompt[0]["content"], item.completion) == (found, answer)


def test_a_long_run_of_marks_and_blanks_is_cut_in_no_time() -> None:
    """Linear in the length; the test would take hours otherwise."""
    assert cut("[/INST]a" + "</s> " * 200_000)[1] == "a"
    assert cut("[/INST]" + " " * 900_000 + "a")[1].strip() == "a"


def test_the_prompt_is_cut_off_a_query() -> None:
    """Once, at its first place, with the marks around; older versions send no prompts."""
    body = {"query": ["<s>Why? Why? Because.</s>", "x"], "prompts": ["Why? ", ""], "labels": ["", ""]}
    assert [(i.prompt[0]["content"], i.completion) for i in GET_REWARD.read(body)] == [
        ("Why? ", "Why? Because."),
        ("", "x"),
    ]
    [old] = GET_REWARD.read({"query": ["q[/INST]a"]})
    assert (old.prompt[0]["content"], old.completion) == ("q", "a")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"query": ["a b"], "prompts": ["c"]}, "item 0: query does not hold its prompt"),
        ({"query": ["a"], "prompts": ["a", "b"]}, "query has 1 texts and prompts 2"),
        ({"query": [1], "prompts": ["a"]}, "item 0: query is a number"),
        ({"query": ["a"], "prompts": [None]}, "item 0: prompts is missing or null"),
        ({"prompts": ["a"]}, "query is missing or null"),
    ],
)
def test_a_query_that_does_not_hold_together_is_refused(body: Any, told: str) -> None:
    """An answer that cannot be told from its prompt is not judged."""
    assert told in refused(GET_REWARD, body)
