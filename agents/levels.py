"""Decoding with what rows have in common: it lies in memory once, and is read once for all of them.

The keys of a row are cut into levels: what all rows begin with, what the drafts of a prompt share,
and what the row has said itself. Each level is one product of all queries that look at it (as in
Hydragen, Juravsky et al. 2024). The scores of a row, few beside its keys, are put side by side for one
softmax: on a processor a pass over them costs more than the memory that Flash attention would save.
"""

import itertools
import math
from collections.abc import Sequence

import torch

from agents.slots import Layers

BLOCK = 32
"""Columns by which memory grows: products want keys and values without gaps, else they copy them first."""


class Stems:
    """Keys and values in places, each as long as it needs.

    Args:
        count: of places.
        columns: most tokens of a place.
        least: columns for which memory comes with the first tokens; more comes block by block.
    """

    def __init__(self, count: int, columns: int, least: int) -> None:
        """Take the size; memory comes with tokens, on the device of each layer."""
        self.count, self.columns = count, columns
        self._least = self.fitting(least)
        self.layers: Layers = []
        self.lengths = [0] * count
        self.offsets = [0] * count
        """The position of the first column of each place."""

    def of(self, layer: int, like: torch.Tensor, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values (count, heads, columns, width) of a layer, of at least `end` columns."""
        if layer == len(self.layers):
            heads, _, width = like.shape
            self.layers.append((like.new_empty(self.count, heads, 0, width),) * 2)
        keys, values = self.layers[layer]
        if keys.shape[2] < end:
            columns = max(self._least, self.fitting(end))
            keys, values = self.layers[layer] = (_longer(keys, columns), _longer(values, columns))
        return keys, values

    def fitting(self, tokens: int) -> int:
        """Columns of the blocks that hold so many tokens."""
        return min(self.columns, BLOCK * math.ceil(tokens / BLOCK))

    def load(self, place: int, stretches: Sequence[Layers], offset: int) -> None:
        """Put stretches, one after the other, into a place."""
        ends = list(itertools.accumulate(stretch[0][0].shape[1] for stretch in stretches))
        self.offsets[place], self.lengths[place] = offset, ends[-1] if ends else 0
        for end, stretch in zip(ends, stretches, strict=True):
            for layer, (key, value) in enumerate(stretch):
                keys, values = self.of(layer, key, ends[-1])
                start = end - key.shape[1]
                keys[place, :, start:end] = key
                values[place, :, start:end] = value

    def move(self, source: int, target: int) -> None:
        """Copy what is in place `source` to place `target`."""
        length = self.lengths[source]
        for keys, values in self.layers:
            keys[target, :, :length] = keys[source, :, :length]
            values[target, :, :length] = values[source, :, :length]
        self.lengths[target], self.offsets[target] = length, self.offsets[source]

    def copy(self, place: int, start: int) -> Layers:
        """A copy of what is in a place from column `start` on, as a stretch."""
        end = self.lengths[place]
        return [
            (keys[place, :, start:end].clone(), values[place, :, start:end].clone())
            for keys, values in self.layers
        ]


def _longer(old: torch.Tensor, columns: int) -> torch.Tensor:
    """(places, heads, columns, width): `old` with room behind it.

    Zeros: what a masked column holds is multiplied by zero, which a chance NaN would survive.
    """
    count, heads, before, width = old.shape
    return torch.cat([old, old.new_zeros(count, heads, columns - before, width)], 2)


class Level:
    """Which place of some stems each row looks at, in one step.

    Args:
        stems: what is looked at.
        places: of each row.
        positions: (rows,) of the token that each row reads.
    """

    def __init__(self, stems: Stems, places: Sequence[int], positions: torch.Tensor) -> None:
        """Put the rows of one place side by side."""
        self.stems, self.positions = stems, positions
        self._places, self._used = places, max(places) + 1
        beside: list[list[int]] = [[] for _ in range(self._used)]
        for row, place in enumerate(places):
            beside[place].append(row)
        self._width = max(map(len, beside))
        # A place with fewer rows computes another row in vain.
        grid = [row for rows in beside for row in (rows + [0] * self._width)[: self._width]]
        order = [beside[place].index(row) + place * self._width for row, place in enumerate(places)]
        self._plain = grid == order == list(range(len(places)))
        self._grid, self._order = (torch.tensor(rows, device=positions.device) for rows in (grid, order))
        self.columns = stems.fitting(max(stems.lengths[: self._used]))

    def scores(self, layer: int, query: torch.Tensor, scale: float) -> torch.Tensor:
        """(rows, key heads, queries of a head, columns) of queries (rows, key heads, queries, width)."""
        keys = self.stems.layers[layer][0][: self._used].flatten(0, 1)[:, : self.columns].transpose(1, 2)
        folded = self._fold(query)
        none = folded.new_empty(1)
        return self._unfold(torch.baddbmm(none, folded, keys, beta=0, alpha=scale), query.shape)

    def mixed(self, layer: int, weights: torch.Tensor) -> torch.Tensor:
        """(rows, key heads, queries, width) sums of values with weights of the shape of scores."""
        values = self.stems.layers[layer][1][: self._used].flatten(0, 1)[:, : self.columns]
        return self._unfold(torch.bmm(self._fold(weights), values), weights.shape)

    def _fold(self, rows: torch.Tensor) -> torch.Tensor:
        """(places x key heads, rows of a place x queries, last), from (rows, key heads, queries, last)."""
        _, heads, _, last = rows.shape
        beside = rows if self._plain else rows[self._grid.to(rows.device)]
        split = beside.view(self._used, self._width, heads, -1, last).transpose(1, 2)
        return split.reshape(self._used * heads, -1, last)

    def _unfold(self, part: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """What `_fold` made of rows of this shape, the last dimension apart, as rows again."""
        _, heads, queries, _ = shape
        split = part.view(self._used, heads, self._width, queries, part.shape[-1])
        beside = split.transpose(1, 2).flatten(0, 1)
        return beside if self._plain else beside[self._order.to(part.device)]

    def seen(self, window: int) -> torch.Tensor:
        """(rows, columns) which columns each row sees, of the last `window` tokens; 0 for the whole past."""
        device = self.positions.device
        columns = torch.arange(self.columns, device=device)
        of_row = (
            torch.tensor([numbers[place] for place in self._places], device=device)[:, None]
            for numbers in (self.stems.lengths, self.stems.offsets)
        )
        lengths, offsets = of_row
        seen = columns < lengths
        return seen & (self.positions[:, None] - offsets - columns < window) if window else seen


class Writing:
    """A pass in which each row reads the one token that it has just said.

    Args:
        levels: the last of them holds what rows say themselves; its places are the numbers of the rows.
        positions: (rows,) of the tokens that are read.
    """

    def __init__(self, levels: Sequence[Level], positions: torch.Tensor) -> None:
        """The new token of each row goes behind what it has said."""
        self.levels, self.positions = levels, positions
        own, rows = levels[-1].stems, len(positions)
        self._columns = torch.tensor([n - 1 for n in own.lengths[:rows]], device=positions.device)
        self._rows = torch.arange(rows, device=positions.device)
        self._unseen: dict[int, torch.Tensor | None] = {}

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        window: int,
    ) -> torch.Tensor:
        """See `agents.attention.Plan`."""
        device = query.device
        own = self.levels[-1]
        keys, values = own.stems.of(layer, key, own.columns)
        rows, columns = self._rows.to(device), self._columns.to(device)
        keys[rows, :, columns] = key.transpose(0, 1)
        values[rows, :, columns] = value.transpose(0, 1)
        heads, tokens, width = query.shape
        split = query.view(key.shape[0], heads // key.shape[0], tokens, width).permute(2, 0, 1, 3)
        scores = [level.scores(layer, split, scale) for level in self.levels]
        weights = self._weigh(scores, window)
        parts = [level.mixed(layer, part) for level, part in zip(self.levels, weights, strict=True)]
        return sum(parts[1:], parts[0]).reshape(tokens, heads, width)

    def _weigh(self, scores: Sequence[torch.Tensor], window: int) -> Sequence[torch.Tensor]:
        """The softmax of all scores of a row, level by level; each (rows, key heads, queries, columns)."""
        whole = torch.cat(list(scores), -1) if len(scores) > 1 else scores[0]
        unseen = self._hidden(window)
        if unseen is not None:
            whole.masked_fill_(unseen.to(whole.device), -torch.inf)
        return whole.softmax(-1).split_with_sizes([level.columns for level in self.levels], -1)

    def _hidden(self, window: int) -> torch.Tensor | None:
        """(rows, 1, 1, columns of all levels) what is not seen, if anything; for all layers of one window."""
        if window not in self._unseen:
            unseen = ~torch.cat([level.seen(window) for level in self.levels], -1)
            self._unseen[window] = unseen[:, None, None] if bool(unseen.any()) else None
        return self._unseen[window]
