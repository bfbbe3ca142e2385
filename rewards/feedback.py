"""Kinds of feedback on an answer, and the rubric that asks for each in each task."""

from collections.abc import Mapping

from agents.errors import ConfigError

RUBRICS: Mapping[str, Mapping[str, str]] = {
    "critique": {"dialogue": "critique_dialogue", "qa": "critique_qa", "summary": "critique_summary"},
    "refinement": {"dialogue": "refine_dialogue", "qa": "refine_qa", "summary": "refine_summary"},
    "preference": {"dialogue": "compare_dialogue", "qa": "compare_qa", "summary": "compare_summary"},
}
"""Kind of feedback, task, rubric: a comment, a better answer, which of two answers is better."""


LEADS: Mapping[str, Mapping[str, str]] = {
    "critique": {"dialogue": "Comment:", "qa": "Comment:", "summary": "Comment:"},
    "refinement": {"dialogue": "Better answer:", "qa": "Better answer:", "summary": "Better summary:"},
}
"""What the text of a local agent begins with: small models else greet or answer the question."""


def rubric_of(kind: str, task: str) -> str:
    """The rubric that asks for feedback of `kind` on an answer in `task`.

    Raises:
        ConfigError: there is no such kind or task.
    """
    if kind not in RUBRICS:
        raise ConfigError(f"no rubric for feedback of kind {kind!r}; allowed are {', '.join(RUBRICS)}")
    if task not in RUBRICS[kind]:
        raise ConfigError(f"no rubric for the task {task!r}; allowed are {', '.join(RUBRICS[kind])}")
    return RUBRICS[kind][task]
