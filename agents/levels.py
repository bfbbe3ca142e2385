"""Decoding with what rows have in common: it lies in memory once, and is read once for all of them.

The keys of a row are cut into levels: what all rows begin with, what the drafts of a prompt share,
and what the row has said itself. Each level is one product of all queries that look at it, and the
softmax is put together from the parts (Hydragen, Juravsky et al. 2024; the sums are those of Flash
attention, Dao et al. 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from agents.slots import Layers

LOWEST = -1e30
"""In place of minus infinity where a row sees nothing of a level."""


class Stems:
    """Keys and values in places, each as long as it needs; keys lie transposed, as products want them."""

    def __init__(self, count: int, columns: int) -> None:
        """Take the size; memory comes with the first token, on the device of each layer."""
        self.count, self.columns = count, columns
        self.layers: Layers = []
        self.lengths = [0] * count
        self.offsets = [0] * count
        """The position of the first column of each place."""

    def of(self, layer: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(count, heads, width, columns) keys and (count, heads, columns, width) values of a layer."""
        if layer == len(self.layers):
            heads, _, width = like.shape
            # Zeros: what a masked column holds is multiplied by zero, which a chance NaN would survive.
            keys = like.new_zeros(self.count, heads, width, self.columns)
            self.layers.append((keys, keys.new_zeros(self.count, heads, self.columns, width)))
        return self.layers[layer]

    def load(self, place: int, stretches: Sequence[Layers], offset: int) -> None:
        """Put stretches, one after the other, into a place."""
        self.offsets[place], self.lengths[place] = offset, 0
        for stretch in stretches:
            start = self.lengths[place]
            for layer, (key, value) in enumerate(stretch):
                keys, values = self.of(layer, key)
                end = start + key.shape[1]
                keys[place, :, :, start:end] = key.transpose(1, 2)
                values[place, :, start:end] = value
            self.lengths[place] = end

    def move(self, source: int, target: int) -> None:
        """Copy what is in place `source` to place `target`."""
        length = self.lengths[source]
        for keys, values in self.layers:
            keys[target, :, :, :length] = keys[source, :, :, :length]
            values[target, :, :length] = values[source, :, :length]
        self.lengths[target], self.offsets[target] = length, self.offsets[source]

    def copy(self, place: int) -> Layers:
        """A copy of what is in a place, as a stretch."""
        length = self.lengths[place]
        return [
            (keys[place, :, :, :length].transpose(1, 2).contiguous(), values[place, :, :length].clone())
            for keys, values in self.layers
        ]


@dataclass
class Level:
    """Which place of some stems each row looks at, in one step."""

    stems: Stems
    places: Sequence[int]
    """Of each row."""
    positions: torch.Tensor
    """(rows,) the position of the token that each row reads."""
    _seen: dict[int, torch.Tensor] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Put the rows of one place side by side."""
        device = self.positions.device
        self._used = max(self.places) + 1
        self._own = list(self.places) == list(range(len(self.places)))
        beside: list[list[int]] = [[] for _ in range(self._used)]
        for row, place in enumerate(self.places):
            beside[place].append(row)
        self._width = max(map(len, beside))
        # A place with fewer rows computes another row in vain.
        grid = [(rows + [0] * self._width)[: self._width] for rows in beside]
        order = [beside[place].index(row) + place * self._width for row, place in enumerate(self.places)]
        self._grid, self._order = torch.tensor(grid, device=device), torch.tensor(order, device=device)
        self._longest = max(self.stems.lengths[: self._used])

    def part(
        self, layer: int, query: torch.Tensor, scale: float, window: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """This level's part of the attention.

        Args:
            layer: number of the layer.
            query: (rows, key heads, queries of a head, width).
            scale: factor of the scores.
            window: tokens that are seen; 0 for the whole past.

        Returns:
            Fp32, of each row: the sum of values weighted by exp(score - largest), of the shape of
            `query`; the largest score and the sum of weights, with a last dimension of 1.
        """
        keys, values = (whole[: self._used] for whole in self.stems.layers[layer])
        folded = query if self._own else self._fold(query)
        scores = (folded @ keys[..., : self._longest]).float() * scale
        scores.masked_fill_(~self._mask(window, query.shape[2]).to(query.device), -torch.inf)
        largest = scores.amax(-1, keepdim=True).clamp_(min=LOWEST)
        weights = scores.sub_(largest).exp_()
        mixed = (weights.to(values.dtype) @ values[:, :, : self._longest]).float()
        parts = (mixed, largest, weights.sum(-1, keepdim=True))
        return parts if self._own else tuple(self._unfold(part) for part in parts)  # type: ignore[return-value]

    def _fold(self, query: torch.Tensor) -> torch.Tensor:
        """(places, key heads, rows of a place x queries, width)."""
        return query[self._grid.to(query.device)].transpose(1, 2).flatten(2, 3)

    def _unfold(self, part: torch.Tensor) -> torch.Tensor:
        """The parts of each row again, from (places, key heads, rows of a place x queries, ...)."""
        places, heads, _, last = part.shape
        return (
            part.view(places, heads, self._width, -1, last)
            .transpose(1, 2)
            .flatten(0, 1)[self._order.to(part.device)]
        )

    def _mask(self, window: int, queries: int) -> torch.Tensor:
        """(places, 1, queries or 1, longest) what is seen; the same for all layers of one window."""
        if window not in self._seen:
            device = self.positions.device
            columns = torch.arange(self._longest, device=device)
            lengths = torch.tensor(self.stems.lengths[: self._used], device=device)
            seen = (columns < lengths[:, None])[:, None]  # (places, 1, longest)
            if window:
                offsets = torch.tensor(self.stems.offsets[: self._used], device=device)
                at = self.positions[:, None] if self._own else self.positions[self._grid]
                far = at[..., None] - (offsets[:, None] + columns)[:, None] >= window
                seen = (seen & ~far).repeat_interleave(queries, 1)
            self._seen[window] = seen[:, None]
        return self._seen[window]


@dataclass
class Writing:
    """A pass in which each row reads the one token that it has just said."""

    levels: Sequence[Level]
    """The last of them holds what rows say themselves; its places are the numbers of the rows."""
    positions: torch.Tensor
    """(rows,)"""

    def __post_init__(self) -> None:
        """The new token of each row goes behind what it has said."""
        own = self.levels[-1].stems
        rows = len(self.positions)
        self._columns = torch.tensor([n - 1 for n in own.lengths[:rows]], device=self.positions.device)
        self._rows = torch.arange(rows, device=self.positions.device)

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
        keys, values = self.levels[-1].stems.of(layer, key)
        rows, columns = self._rows.to(device), self._columns.to(device)
        keys[rows, :, :, columns] = key.transpose(0, 1)
        values[rows, :, columns] = value.transpose(0, 1)
        heads, tokens, width = query.shape
        split = query.view(key.shape[0], heads // key.shape[0], tokens, width).permute(2, 0, 1, 3)
        parts = [level.part(layer, split, scale, window) for level in self.levels]
        most = torch.stack([largest for _, largest, _ in parts]).amax(0)
        mixed, total = torch.zeros_like(parts[0][0]), torch.zeros_like(most)
        for part, largest, weights in parts:
            share = torch.exp(largest - most)
            mixed.addcmul_(part, share)
            total.addcmul_(weights, share)
        return (mixed / total).to(query.dtype).reshape(tokens, heads, width)
