"""Progress: what is counted, and the time that is left."""

from example_events import EXCHANGED, START

from arena.progress import Progress


def finished(progress: Progress, step: int) -> None:
    """Tell of a step that is done."""
    progress.take("exchanged", EXCHANGED | {"step": step, "seat": "ada" if step % 2 == 0 else "bob"})


def test_the_time_left_follows_the_last_steps() -> None:
    """The first step, with its loading, is no measure; 10 s a step, 9 steps left, 4 s of one gone."""
    now = [0.0]
    progress = Progress(clock=lambda: now[0])
    progress.take("start", START)
    assert progress.remaining() is None
    for step, at in enumerate([500.0, 510.0, 520.0]):
        now[0] = at
        finished(progress, step)
    now[0] = 524.0
    assert progress.remaining() == 86.0


def test_seats_that_are_done_at_once_took_the_turn_together() -> None:
    """20 s a turn, four turns left: not the nothing that lies between two steps of one turn."""
    now = [0.0]
    progress = Progress(clock=lambda: now[0])
    progress.take("start", START)
    for step, at in enumerate([500.0, 500.0, 520.0, 520.0]):
        now[0] = at
        finished(progress, step)
        assert (progress.remaining() is None) == (step < 2)
    assert progress.remaining() == 80.0


def test_a_continued_run_counts_the_steps_on_its_record() -> None:
    """Step 7 is the first new one: the eighth of twelve, four of either seat."""
    progress = Progress()
    progress.take("start", START | {"resumed": True})
    finished(progress, 7)
    assert (progress.done, progress.steps_of("bob"), progress.steps_of("ada")) == (8, "4/6", "4/6")


def test_the_mean_rating_is_over_exchanges() -> None:
    """Two at 4 and six at 8 make 7; a step without ratings changes nothing."""
    progress = Progress()
    progress.take("start", START)
    for rating, exchanges in ((4.0, 2), (8.0, 6), (None, 5)):
        progress.take("exchanged", EXCHANGED | {"rating": rating, "exchanges": exchanges})
    assert progress.tallies["ada"].rating == 7.0
