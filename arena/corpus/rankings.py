"""Formats of several answers to one prompt, each with a score; and what follows from a ranking."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean

from agents.dialogue import Message, Reply
from arena import jsonl
from arena.corpus.entry import Entry, Nothing, asked, user
from arena.problems import Problem
from rewards.verdict import Example, Preference, Ranking

SUMMARISE = "Summarise the article in a few sentences.\n\n"
"""What is asked, before the article."""


def ranking(id: str, prompt: Sequence[Message], texts: Sequence[str], rewards: Sequence[float]) -> Ranking:
    """A ranking of different texts: of equal ones the first is kept. Nothing if fewer than two remain."""
    first = {text: reward for text, reward in reversed(list(zip(texts, rewards, strict=True)))}
    kept = {text: first[text] for text in texts}
    if len(kept) < 2:
        raise Nothing("fewer than two answers")
    return Ranking(id, asked(prompt), tuple(map(Reply, kept)), tuple(kept.values()))


def pairs_of(ranking: Ranking, kind: str) -> list[Preference]:
    """Every two answers with different rewards, as InstructGPT takes them (Ouyang et al. 2022, section 3.5).

    Raises:
        Nothing: all rewards are equal.
    """
    found = []
    for pair in combinations(range(len(ranking.replies)), 2):
        worst, best = sorted(pair, key=ranking.rewards.__getitem__)
        margin = ranking.rewards[best] - ranking.rewards[worst]
        if margin > 0:
            better, worse = ranking.replies[best], ranking.replies[worst]
            ids = f"{ranking.id}.{best}", f"{ranking.id}.{worst}"
            found.append(Preference(ranking.prompt, better, worse, margin, *ids, kind=kind))
    if not found:
        raise Nothing("tie")
    return found


def best_of(ranking: Ranking) -> Example:
    """The answer with the highest reward, of equals the first."""
    best = max(range(len(ranking.rewards)), key=lambda i: (ranking.rewards[i], -i))
    return Example(f"{ranking.id}.{best}", ranking.prompt, ranking.replies[best].text)


def ultrafeedback(entry: Entry) -> Iterator[Ranking]:
    """UltraFeedback (Cui et al. 2023): `instruction`, and `completions`, a list of objects.

    Each has `response`, and `fine-grained_score` or `overall_score`.

    The fine-grained score, a mean of four aspects, is taken where all completions have it: overall scores
    of early releases are known to be wrong (a 1 that was read as 10).
    """
    completions = entry.parts("completions")
    prompt = user(entry.text("instruction"))
    for score in ("fine-grained_score", "overall_score"):
        if completions and all(completion.has(score) for completion in completions):
            texts = [completion.text("response") for completion in completions]
            rewards = [completion.number_of(score) for completion in completions]
            yield ranking(entry.id, prompt, texts, rewards)
            return
    raise Nothing("unrated completions")


def ultrafeedback_pairs(entry: Entry) -> Iterator[Preference]:
    """Every two completions of different score."""
    for found in ultrafeedback(entry):
        yield from pairs_of(found, entry.source)


def ultrafeedback_best(entry: Entry) -> Iterator[Example]:
    """The completion of highest score."""
    yield from map(best_of, ultrafeedback(entry))


def articles(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The rows of each article together, in the order of first sight."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(str(jsonl.cell(entry.where, entry.row, "article")), []).append(entry)
    return iter(groups.values())


def summeval(group: Sequence[Entry]) -> Iterator[Ranking]:
    """SummEval (Fabbri et al. 2021): the summaries of one article, ranked by the mean of their aspects.

    Rows have `article`, `response` (a summary) and `scores`, numbers by aspect.
    """
    texts = [entry.text("response") for entry in group]
    rewards = [fmean(_scores(entry).values()) for entry in group]
    yield ranking(group[0].id, user(SUMMARISE + group[0].text("article")), texts, rewards)


def _scores(entry: Entry) -> Mapping[str, float]:
    part = entry.part("scores")
    if not part.row:
        raise entry.fault("scores", "numbers by aspect")
    return {aspect: part.number_of(aspect) for aspect in part.row}


def summeval_pairs(group: Sequence[Entry]) -> Iterator[Preference]:
    """Every two summaries with different means."""
    for found in summeval(group):
        yield from pairs_of(found, group[0].source)


def summeval_best(group: Sequence[Entry]) -> Iterator[Example]:
    """The best summary."""
    yield from map(best_of, summeval(group))


def summeval_problems(group: Sequence[Entry]) -> Iterator[Problem]:
    """The article, with the summary that the data set calls the reference, where there is one."""
    first = group[0]
    prompt = asked(user(SUMMARISE + first.text("article")))
    yield Problem("summary", prompt, first.optional("reference"), first.place)
