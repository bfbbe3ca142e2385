"""Keys and values of rows that are being read and written, each row in a slot of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from agents.attention import causal, grouped

BATCHED = 16
"""Rows with up to this many new tokens each attend in one call; longer ones in a call of their own."""

Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values (key heads, tokens, width) of a stretch of tokens, for each layer."""


class Slots:
    """A rectangle of rows and columns for each layer; column = position, so nothing is ever padded.

    Args:
        rows: how many rows are in flight at most.
        columns: tokens of the longest row.
    """

    def __init__(self, rows: int, columns: int) -> None:
        """Take the size; memory comes with the first token, on the device of each layer."""
        self.rows, self.columns = rows, columns
        self.layers: Layers = []

    def of(self, layer: int, key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values (rows, key heads, columns, width) of a layer, like `key` in type and place."""
        if layer == len(self.layers):
            heads, _, width = key.shape
            # Zeros: what a masked column holds is multiplied by zero, which a chance NaN would survive.
            shape = (self.rows, heads, self.columns, width)
            self.layers.append((key.new_zeros(shape), key.new_zeros(shape)))
        return self.layers[layer]

    def copy(self, row: int, start: int, end: int) -> Layers:
        """A copy of the columns from `start` to `end` of a row."""
        return [
            (keys[row, :, start:end].clone(), values[row, :, start:end].clone())
            for keys, values in self.layers
        ]

    def load(self, row: int, start: int, stretch: Layers) -> None:
        """Put a copied stretch into a row, from column `start` on."""
        for layer, (key, value) in enumerate(stretch):
            keys, values = self.of(layer, key)
            keys[row, :, start : start + key.shape[1]] = key
            values[row, :, start : start + key.shape[1]] = value

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` columns of row `source` over row `target`."""
        for keys, values in self.layers:
            keys[target, :, :length] = keys[source, :, :length]
            values[target, :, :length] = values[source, :, :length]

    def shift(self, rows: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> None:
        """In each of `rows` (n,) copy column `source` (n,) to column `target` (n,)."""
        for keys, values in self.layers:
            keys[rows, :, target] = keys[rows, :, source]
            values[rows, :, target] = values[rows, :, source]


@dataclass
class Reading:
    """A pass over new tokens of the first rows, whose keys and values go into their slots."""

    slots: Slots
    past: Sequence[int]
    """Tokens that each row holds already."""
    new: Sequence[int]
    """Tokens of each row in this pass, which stand side by side in it."""
    device: torch.device
    siblings: bool = False
    """Whether the new tokens of a row are alternatives to each other, all at the next position."""
    positions: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Lay out rows, columns and positions of the tokens."""
        new = torch.tensor(self.new)
        past = torch.repeat_interleave(torch.tensor(self.past), new)
        starts = torch.repeat_interleave(new.cumsum(0) - new, new)
        columns = past + torch.arange(len(past)) - starts
        self._uniform = self.siblings or (len(set(self.new)) == 1 and self.new[0] <= BATCHED)
        self._row = torch.repeat_interleave(torch.arange(len(new)), new).to(self.device)
        self._column = columns.to(self.device)
        self.positions = past.to(self.device) if self.siblings else self._column
        self._longest = max(p + n for p, n in zip(self.past, self.new, strict=True))
        self._masks: dict[int, list[torch.Tensor]] = {}

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
        keys, values = self.slots.of(layer, key)
        keys[self._row.to(key.device), :, self._column.to(key.device)] = key.transpose(0, 1)
        values[self._row.to(key.device), :, self._column.to(key.device)] = value.transpose(0, 1)
        if window not in self._masks:
            self._masks[window] = self._batch_mask(window) if self._uniform else self._row_masks(window)
        masks = self._masks[window]
        if self._uniform:
            return self._together(query, keys, values, masks[0].to(key.device), scale)
        out, start = [], 0
        for row, new in enumerate(self.new):
            end, length = start + new, self.past[row] + new
            known = (keys[row : row + 1, :, :length], values[row : row + 1, :, :length])
            mixed = grouped(query[None, :, start:end], *known, masks[row].to(key.device), scale)
            out.append(mixed[0].transpose(0, 1))
            start = end
        return torch.cat(out)

    def _together(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        seen: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        heads, tokens, width = query.shape
        count, new = len(self.new), self.new[0]
        known = (keys[:count, :, : self._longest], values[:count, :, : self._longest])
        split = query.view(heads, count, new, width).transpose(0, 1)
        return grouped(split, *known, seen, scale).permute(0, 2, 1, 3).reshape(tokens, heads, width)

    def _batch_mask(self, window: int) -> list[torch.Tensor]:
        """One mask (rows, 1, new, longest)."""
        positions = self.positions.view(len(self.new), -1)
        seen = causal(positions, torch.arange(self._longest, device=self.device), window)
        if self.siblings:
            seen &= torch.arange(self._longest, device=self.device) < positions[:, :1, None]
            own = self._column.view(len(self.new), -1, 1)
            seen.scatter_(-1, own, True)
        return [seen[:, None]]

    def _row_masks(self, window: int) -> list[torch.Tensor]:
        """A mask (1, 1, new, past + new) for each row."""
        parts = torch.split(self.positions, list(self.new))
        lengths = [past + new for past, new in zip(self.past, self.new, strict=True)]
        return [
            causal(part, torch.arange(length, device=self.device), window)[None, None]
            for part, length in zip(parts, lengths, strict=True)
        ]
