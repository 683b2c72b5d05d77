"""Where the idle road lies: a baseline that follows the drift, from the extremes of chunks.

Everything is decided on the highest and lowest count of chunks of ``CHUNK`` samples, counted from
the stream's first sample, so that no result depends on how the samples were cut into blocks. The
centre of a quiet chunk's range is its level and the range its noise: an idle road costs a look a
millisecond, integer comparison of what is seen and no float work on samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from edge.core.extremes import CHUNK, end_to_end, looks, side_by_side
from edge.records import Bools, Floats, Gains, Indices, Int32s, LaneLayout

__all__ = [
    "Baseline",
    "floor_counts",
    "range_per_sigma",
    "renewal_samples",
]

_MOST_AHEAD, _GROWTH = 512, 8
"""Half seconds that are guessed at once; how fast they grow more while guesses hold."""

_BEYOND = float(1 << 30)
"""No 24-bit count passes it, and with a level it is a 32-bit one still."""

TYPICAL_CONTACT_M = 0.25
"""Length of a lorry tyre's contact patch (facts: metrology 6.3)."""

NOISE_FACTOR = 6.0
"""Standard deviations of noise below which nothing counts as a wheel."""

_FLOOR_OF_LIGHTEST = 0.25
"""Part of the lightest wheel's peak below which nothing counts as a wheel."""

_LEAST_COUNTS = 4.0
_TILE_S = 0.5
_LONELY_S = 5
_STANDING_S = 180


@cache
def range_per_sigma(samples: int) -> float:
    """Mean range of ``samples`` normal values over their standard deviation.

    Tippett's relative range, here by the usual approximation to three digits for 8 to 256.
    """
    return float(
        np.interp(np.log2(samples), [3, 4, 5, 6, 7, 8], [2.85, 3.53, 4.14, 4.69, 5.19, 5.65])
    )


def floor_counts(lanes: Sequence[LaneLayout], gains: Gains) -> Floats:
    """Count above the baseline that the lightest wheel of a lane passes surely, per channel.

    A strip narrower than the contact patch never carries the whole wheel. Channels that no lane
    uses get infinity: they are recorded, never searched.

    Returns
    -------
    float array (n_channels,)
    """
    floor = np.full(len(gains.newton_per_count), np.inf)
    for lane in lanes:
        wheel_n = lane.axle_min_kg / 2 * gains.gravity_mps2
        for row in lane.rows:
            peak_n = wheel_n * min(1.0, row.width_m / TYPICAL_CONTACT_M)
            for channel in (row.left, row.right):
                counts = _FLOOR_OF_LIGHTEST * peak_n / abs(gains.newton_per_count[channel])
                floor[channel] = max(counts, _LEAST_COUNTS)
    return floor


def renewal_samples(rate_hz: float) -> int:
    """Samples after which the baseline is renewed, again and again from the stream's first."""
    return CHUNK * max(1, round(_TILE_S * rate_hz / CHUNK))


class Baseline:
    """Level and release threshold per channel, renewed twice a second from quiet chunks only.

    While a wheel presses, its channel is frozen. It recovers from

    * a step down at once (a sensor can't be pulled), and a creep that outran it: a wheel that
      stands presses far more than twice the threshold,
    * a step up of one channel whose partner across the lane is quiet after 5 s (an axle presses
      both sides),
    * anything that stands longer than 180 s: by then no vehicle is weighed there,
    * noise that grew: chunks that keep touching the old level are noise, no wheel.

    Parameters
    ----------
    rate_hz : float
    floor : float array (n_channels,)
        Least release threshold in counts, from :func:`floor_counts`.
    partner : int array (n_channels,)
        Channel across the lane, itself where there is none.
    """

    def __init__(self, rate_hz: float, floor: Floats, partner: Indices) -> None:
        self._tile = renewal_samples(rate_hz) // CHUNK
        self._floor = np.minimum(floor, _BEYOND)
        self._noise_per_spread = NOISE_FACTOR / range_per_sigma(len(looks(rate_hz)))
        self._partner = partner
        self._highest = np.empty((self._tile, len(floor)), np.int32)
        self._lowest = np.empty_like(self._highest)
        self._filled = 0
        self._ahead = 1
        self._started = False
        self._renewed = False
        self.level = np.zeros(len(floor))
        self.release = self._floor
        self._pressed_tiles = np.zeros(len(floor), np.int64)

    def step(self, highest: Int32s, lowest: Int32s) -> tuple[Floats, Floats, Indices]:
        """Take the extremes of further chunks, (n, n_channels) each, one at least.

        Returns
        -------
        level, release : float arrays (n_lines, n_channels)
            A wheel is on where a sample passes ``level + release``.
        line : int64 array (n,)
            Which line of them holds for each chunk.
        """
        n = len(highest)
        if not self._started:
            self._begin(highest[0], lowest[0])
        levels, releases, lengths = [], [], []
        done = 0
        while done < n:
            whole = 0 if self._filled else (n - done) // self._tile
            if whole:
                part = slice(done, done + min(whole, self._ahead) * self._tile)
                level, release = self._renew(highest[part], lowest[part])
                length = self._tile
            else:
                length = min(n - done, self._tile - self._filled)
                level, release = self.level[None], self.release[None]
                self._keep(highest[done : done + length], lowest[done : done + length])
            levels.append(level)
            releases.append(release)
            lengths += [length] * len(level)
            done += length * len(level)
        line = np.arange(len(lengths)).repeat(lengths)
        return np.concatenate(levels), np.concatenate(releases), line

    def _begin(self, highest: Int32s, lowest: Int32s) -> None:
        self._started = True
        self.level = (highest / 2) + (lowest / 2)
        self._set_noise(np.subtract(highest, lowest, dtype=np.float64))

    def _set_noise(self, spread: Floats) -> None:
        self.release = self._release(spread)
        self._spread = spread

    def _release(self, spread: Floats) -> Floats:
        return np.maximum(self._noise_per_spread * spread, self._floor)

    def _keep(self, highest: Int32s, lowest: Int32s) -> None:
        end = self._filled + len(highest)
        self._highest[self._filled : end] = highest
        self._lowest[self._filled : end] = lowest
        self._filled = end
        if end == self._tile:
            self._renew(self._highest, self._lowest)
            self._filled = 0

    def _renew(self, highest: Int32s, lowest: Int32s) -> tuple[Floats, Floats]:
        """Take half seconds up to the first in which a channel was hardly quiet; renew after it.

        Which chunks were quiet depends on levels that depend on quiet chunks before: the guess
        is refined until it agrees with itself, which makes it what one by one would have given.

        Returns
        -------
        level, release : float arrays (n_tiles, n_channels)
            As they stood in each half second that was taken.
        """
        high, low = self._by_tile(highest), self._by_tile(lowest)
        levels, releases = self.level[None], self.release[None]
        quiet = np.zeros((0, 0, 0), np.bool_)
        while True:
            before = quiet
            # Whole counts compare fast: one passes a bound where it passes the whole part of it.
            quiet = high <= np.floor(levels + releases).astype(np.int32)
            quiet &= low >= np.ceil(levels - releases).astype(np.int32)
            counted = quiet.astype(np.int32)
            seen = np.add.reduce(counted, axis=0, dtype=np.int32)
            poor = (seen * 8 < self._tile).any(axis=1).nonzero()[0]
            taken = int(poor[0]) + 1 if len(poor) else len(seen)
            if before.shape == quiet.shape and (quiet[:, :taken] == before[:, :taken]).all():
                break
            count = np.maximum(seen, 1)
            top = np.add.reduce(high * counted, axis=0, dtype=np.int32)
            bottom = np.add.reduce(low * counted, axis=0, dtype=np.int32)
            centre, spread = (top / 2 + bottom / 2) / count, (top - bottom) / count
            levels, spreads = self._followed(centre, spread)
            releases = self._release(spreads[:-1])
            after, levels = levels, levels[:-1]
        enough = seen[taken - 1] * 8 >= self._tile
        self.level = np.where(enough, after[taken], after[taken - 1])
        self._set_noise(np.where(enough, spreads[taken], spreads[taken - 1]))
        self._renewed = True
        self._ahead = min(_GROWTH * taken, _MOST_AHEAD)
        self._pressed_tiles[enough] = 0
        if not enough.all():
            last = (high[:, taken - 1] - after[taken - 1], low[:, taken - 1] - after[taken - 1])
            self._recover(*last, enough)
        return levels[:taken], releases[:taken]

    def _followed(self, centre: Floats, spread: Floats) -> tuple[Floats, Floats]:
        """Level and spread following what is seen, before each tile and after the last.

        One tile after the other, both at once: the same to the last bit in however many calls.
        """
        seen = np.concatenate([centre, spread], axis=1)
        before = np.concatenate([self.level, self._spread])
        # Each goes half the way to what is new: a plain sum at a scale that doubles, and doubling
        # is exact. The first half second goes all the way.
        doubled = 2.0 ** np.arange(len(seen) + 1)[:, None]
        values = np.concatenate([before[None] if self._renewed else seen[:1], seen * doubled[:-1]])
        np.add.accumulate(values, axis=0, out=values)
        values /= doubled
        values[0] = before
        return values[:, : centre.shape[1]], values[:, centre.shape[1] :]

    def _by_tile(self, extreme: Int32s) -> Int32s:
        """Chunks of a tile, tiles, channels."""
        laid = side_by_side(extreme, end_to_end(len(extreme) // self._tile, self._tile))
        return laid.reshape(self._tile, -1, extreme.shape[1])

    def _recover(self, top: Floats, bottom: Floats, enough: Bools) -> None:
        """Channels without quiet chunks: are they stepped, noisy, or is a wheel on them?"""
        centre = np.median(top + bottom, axis=0) / 2
        slipped = ~enough & (centre < 2 * self.release)
        noisy = ~enough & ~slipped & (np.median(bottom, axis=0) <= 0)
        self._pressed_tiles = np.where(enough | slipped | noisy, 0, self._pressed_tiles + 1)
        lonely = enough[self._partner]
        patience_s = np.where(lonely, _LONELY_S, _STANDING_S)
        stepped = self._pressed_tiles * _TILE_S >= patience_s
        self.level = self.level + np.where(slipped | stepped, centre, 0.0)
        renewed = slipped | noisy | stepped
        self._set_noise(np.where(renewed, np.median(top - bottom, axis=0), self._spread))
        self._pressed_tiles[stepped] = 0
