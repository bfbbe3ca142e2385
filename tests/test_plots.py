"""Pictures: drawn where there are rows, whole files of a readable width, none without the library."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.dialogue import Message
from arena.plots import draw_collect, draw_revise

Row = dict[str, Any]


@pytest.fixture
def drawing() -> None:
    """The library is there."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def problem(number: int, group: str, difficulty: float) -> Row:
    """A row of `problems.jsonl`."""
    return {"id": f"d{number:04d}", "dialogue": f"d{number:04d}", "group": group, "difficulty": difficulty}


def pair(kind: str, chosen: int, rejected: int) -> Row:
    """A row of `preferences.jsonl`, of so many words."""
    sides = {"chosen": chosen, "rejected": rejected}
    return {"kind": kind} | {
        name: [Message(role="assistant", content="word " * n)] for name, n in sides.items()
    }


def turn(number: int, speaker: str = "ada") -> Row:
    """A version of an answer."""
    return {
        "id": f"d0000.{number:02d}a", "dialogue": "d0000", "turn": number, "speaker": speaker,
        "kind": "revision" if number > 1 else "answer", "content": "word " * 9,
    }  # fmt: skip


COLLECTED = {
    "problems": [problem(i, "easy" if i < 5 else "hard", 0.3 * i + 0.2) for i in range(10)],
    "preferences": [pair("critique", 40, 30), pair("refinement", 200, 1), pair("critique", 0, 7)],
}
REVISED = {
    "turns": [turn(0), turn(1, "bob"), turn(2), turn(3, "bob"), turn(4)],
    "verdicts": [{"id": f"d0000.{i:02d}a", "rating": 4.0 + i} for i in range(4)],
    "feedback": [
        {"kind": "panel", "about": f"d0000.{i:02d}a", "result": f"d0000.{i + 2:02d}a"} for i in range(3)
    ],
}


def size(path: Path) -> tuple[int, int]:
    """Width and height that a PNG file declares."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def labels(figure: Any) -> list[str]:
    """Everything that is written on a figure's axes."""
    return [text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())]


@pytest.mark.usefixtures("drawing")
def test_a_collection_is_drawn_in_two_pictures(tmp_path: Path) -> None:
    """800 pixels wide; nothing else is left in the folder."""
    drawn = draw_collect(COLLECTED, tmp_path)
    assert [path.name for path in drawn] == ["difficulty_by_group.png", "words_of_pairs.png"]
    assert [size(path) for path in drawn] == [(800, 450)] * 2
    assert sorted(tmp_path.iterdir()) == sorted(drawn)


@pytest.mark.usefixtures("drawing")
def test_revisions_are_drawn_in_one_picture(tmp_path: Path) -> None:
    """One value has a point and no interval; a version without a rating has its words."""
    [path] = draw_revise(REVISED, tmp_path)
    assert path == tmp_path / "ratings_by_revisions.png"
    assert size(path) == (800, 450)


@pytest.mark.usefixtures("drawing")
def test_axes_name_their_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On every picture."""
    from matplotlib.figure import Figure

    seen: list[str] = []
    save = Figure.savefig

    def spy(self: Figure, *arguments: Any, **options: Any) -> None:
        seen.extend(labels(self))
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    draw_collect(COLLECTED, tmp_path)
    draw_revise(REVISED, tmp_path)
    assert seen == [
        "difficulty (nats/token)", "problems",
        "rejected (words)", "chosen (words)",
        "revisions", "rating (1 to 10), mean and 95 %",
        "revisions", "words, mean and 95 %",
    ]  # fmt: skip


def figure_of(tables: dict[str, list[Row]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The axes of ratings and of words, as they are drawn."""
    from matplotlib.figure import Figure

    seen: list[Figure] = []
    save = Figure.savefig

    def spy(self: Figure, *arguments: Any, **options: Any) -> None:
        save(self, *arguments, **options)
        seen.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", spy)
        draw_revise(tables, folder)
    left, right = seen[0].axes
    return left, right


def ticks(axes: Any) -> list[str]:
    """What is written along the x axis."""
    return [label.get_text() for label in axes.get_xticklabels()]


@pytest.mark.usefixtures("drawing")
def test_ticks_say_how_many_values_are_behind_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each seat, from the fewest to the most; what is not rated counts for the words alone."""
    left, right = figure_of(REVISED, tmp_path, monkeypatch)
    assert ticks(left) == ["0\nn = 1", "1\nn = 1", "2\nn = 0"]
    assert ticks(right) == ["0\nn = 1", "1\nn = 1", "2\nn = 1"]
    more = REVISED | {"turns": [*REVISED["turns"], turn(0) | {"id": "d0001.00a", "dialogue": "d0001"}]}
    assert ticks(figure_of(more, tmp_path, monkeypatch)[1])[0] == "0\nn = 1 to 2"


@pytest.mark.usefixtures("drawing")
def test_many_revisions_do_not_crowd_the_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine versions: every third is named."""
    tables = {
        "turns": [turn(n) for n in range(0, 18, 2)],
        "feedback": [
            {"kind": "feedback", "about": f"d0000.{n:02d}a", "result": f"d0000.{n + 2:02d}a"}
            for n in range(0, 16, 2)
        ],
    }
    assert ticks(figure_of(tables, tmp_path, monkeypatch)[1]) == [f"{place}\nn = 1" for place in (0, 3, 6)]


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize(("gain", "width"), [(0.1, 2.0), (1.0, 2.0), (4.0, 4.4)])
def test_the_axis_of_ratings_shows_two_points_or_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gain: float, width: float
) -> None:
    """A tenth of a point looks like a tenth of one; what is greater has its own axis."""
    ratings = [{"id": "d0000.00a", "rating": 4.0}, {"id": "d0000.02a", "rating": 4.0 + gain}]
    left, _ = figure_of(REVISED | {"verdicts": ratings}, tmp_path, monkeypatch)
    low, high = left.get_ylim()
    assert high - low == pytest.approx(width)
    assert (low + high) / 2 == pytest.approx(4.0 + gain / 2)


@pytest.mark.usefixtures("drawing")
def test_one_value_has_no_interval_in_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an endless one nor one of no width."""
    from matplotlib.axes import Axes

    halves: list[float] = []
    draw = Axes.errorbar

    def spy(self: Axes, x: Any, y: Any, yerr: Any, **options: Any) -> Any:
        halves.extend(yerr)
        return draw(self, x, y, yerr, **options)

    monkeypatch.setattr(Axes, "errorbar", spy)
    draw_revise({"turns": REVISED["turns"][:1]}, tmp_path)
    assert [math.isnan(half) for half in halves] == [True]


@pytest.mark.usefixtures("drawing")
def test_a_picture_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails half way leaves the old one."""
    from matplotlib.figure import Figure

    [path] = draw_revise(REVISED, tmp_path)
    before = path.read_bytes()

    def broken(self: Figure, name: Path, **options: Any) -> None:
        name.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(OSError, match="disk full"):
        draw_revise(REVISED, tmp_path)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("drawing")
def test_the_same_rows_give_the_same_picture(tmp_path: Path) -> None:
    """No time of day in it."""
    first = [path.read_bytes() for path in draw_collect(COLLECTED, tmp_path)]
    assert [path.read_bytes() for path in draw_collect(COLLECTED, tmp_path)] == first


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize(
    ("tables", "names"),
    [
        ({}, []),
        ({"problems": [problem(0, "", 0.0)]}, []),
        ({"problems": [problem(0, "easy", 1.0)]}, ["difficulty_by_group.png"]),
        ({"preferences": [pair("critique", 3, 3)]}, ["words_of_pairs.png"]),
    ],
    ids=["nothing", "no group", "one problem", "one pair"],
)
def test_only_what_there_is_is_drawn(tmp_path: Path, tables: dict[str, list[Row]], names: list[str]) -> None:
    """A problem without a group has no difficulty; one row is enough."""
    assert [path.name for path in draw_collect(tables, tmp_path)] == names


def test_without_versions_nothing_is_drawn(tmp_path: Path) -> None:
    """No empty axes."""
    assert draw_revise({}, tmp_path) == []


def test_without_the_library_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing fails; who asked says how to get it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw_collect(COLLECTED, tmp_path) == []
    assert draw_revise(REVISED, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
