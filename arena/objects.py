"""A transcript as JSON, one object per line; plain ASCII, so that no character of a text can do harm."""

import json
from collections.abc import Iterator, Sequence

from agents.dialogue import Message
from arena.transcript import Draft, Transcript


class Objects:
    """Writes each draft as one object: turn, verdict and what came of it.

    Feedback that has no turn, such as a comparison, has no object: it is a row of `feedback.jsonl`.
    """

    def dialogue(self, transcript: Transcript, last: int | None = None) -> Iterator[str]:
        """One object per draft."""
        for played in transcript.rounds[-last:] if last else transcript.rounds:
            for draft in played.drafts:
                yield from self.match(transcript, draft)

    def match(self, transcript: Transcript, draft: Draft) -> Iterator[str]:
        """One object; what a draft does not have is null, and without a verdict `judged` is false."""
        yield json.dumps(_joined(transcript, draft))

    def prompt(
        self, transcript: Transcript, speaker: str, messages: Sequence[Message], last: int | None = None
    ) -> Iterator[str]:
        """One object per dialogue."""
        chosen = list(messages[-last:] if last else messages)
        yield json.dumps({"dialogue": transcript.id, "speaker": speaker, "messages": chosen})

    def note(self, text: str) -> Iterator[str]:
        """Nothing: every line is an object."""
        return iter(())


def _joined(transcript: Transcript, draft: Draft) -> dict[str, object]:
    turn, judged = draft.turn, draft.judged
    verdict = judged.verdict if judged else None
    said, question = draft.comment, transcript.question
    return {
        "id": turn.id,
        "dialogue": transcript.id,
        "topic": transcript.topic,
        "turn": draft.number,
        "step": draft.step,
        "parent": turn.parent,
        "speaker": turn.speaker,
        "kind": turn.kind,
        "revision": draft.revision or None,
        "content": turn.text,
        "thinking": turn.reply.thinking,
        "finish": turn.reply.finish,
        "tokens_out": draft.tokens,
        "model": draft.model,
        "adapter": turn.adapter,
        "said": draft.said,
        "chosen": draft.chosen,
        "rejected": draft.rejected,
        "outcome": draft.outcome,
        "feedback_status": said.status if said else None,
        "feedback_score": said.score if said else None,
        "overruled": said.overruled if said else None,
        "task": question.task if question else None,
        "group": question.group if question else None,
        "difficulty": question.difficulty if question else None,
        "judged": verdict is not None,
        "judge": judged.judge if judged else None,
        "judge_model": verdict.judge if verdict else None,
        "raw": verdict.raw if verdict else None,
        "rating": verdict.rating if verdict else None,
        "wim": verdict.wim if verdict else None,
        "wim_status": verdict.wim_status if verdict else None,
        "cosine": verdict.cosine if verdict else None,
        "cosine_shuffled": verdict.cosine_shuffled if verdict else None,
        "cosine_topic": verdict.cosine_topic if verdict else None,
        "echo": verdict.echo if verdict else None,
        "zeta": judged.zeta if judged else None,
        "reward": verdict.reward if verdict else None,
        "scale": verdict.scale if verdict else None,
        "failures": [failure.what for failure in draft.failures],
    }
