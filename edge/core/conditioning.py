"""Where the idle road lies: extremes of fixed chunks, and a baseline that follows the drift.

Everything is decided on the highest and lowest count of chunks of ``CHUNK`` samples, counted from
the stream's first sample, so that no result depends on how the samples were cut into blocks. The
centre of a quiet chunk's range is its level and the range its noise: an idle road costs two passes
of integer comparison and no float work on samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.records import Bools, Floats, Gains, Indices, Int32s, LaneLayout

__all__ = ["CHUNK", "Baseline", "extremes", "floor_counts", "range_per_sigma", "renewal_samples"]

CHUNK = 64
"""Samples in a chunk; a power of two, so that extremes halve down."""

_SLAB_CHUNKS = 512
"""Chunks whose extremes are taken at once: a slab and its halves stay in the cache."""

TYPICAL_CONTACT_M = 0.25
"""Length of a lorry tyre's contact patch (facts: metrology 6.3)."""

NOISE_FACTOR = 6.0
"""Standard deviations of noise below which nothing counts as a wheel."""

_FLOOR_OF_LIGHTEST = 0.25
"""Part of the lightest wheel's peak below which nothing counts as a wheel."""

_LEAST_COUNTS = 4.0
_SMOOTHING = 0.5
_TILE_S = 0.5
_LONELY_S = 5
_STANDING_S = 180


def range_per_sigma(samples: int) -> float:
    """Mean range of ``samples`` normal values over their standard deviation.

    Tippett's relative range, here by the usual approximation to three digits for 8 to 256.
    """
    return float(
        np.interp(np.log2(samples), [3, 4, 5, 6, 7, 8], [2.85, 3.53, 4.14, 4.69, 5.19, 5.65])
    )


def extremes(counts: Int32s, chunk: int = CHUNK) -> tuple[Int32s, Int32s]:
    """Highest and lowest count of each chunk.

    Parameters
    ----------
    counts : int32 array (n_chunks * chunk, n_channels), C order
    chunk : int
        Samples in a chunk, a power of two.

    Returns
    -------
    highest, lowest : int32 arrays (n_chunks, n_channels)
    """
    channels = counts.shape[1]
    blocks = counts.reshape(-1, chunk, channels)
    highest = np.empty((len(blocks), channels), np.int32)
    lowest = np.empty_like(highest)
    for first in range(0, len(blocks), _SLAB_CHUNKS):
        slab = blocks[first : first + _SLAB_CHUNKS]
        high = low = slab
        while high.shape[1] > 1:
            half = high.shape[1] // 2
            high = np.maximum(high[:, :half], high[:, half:])
            low = np.minimum(low[:, :half], low[:, half:])
        highest[first : first + len(slab)] = high[:, 0]
        lowest[first : first + len(slab)] = low[:, 0]
    return highest, lowest


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
        self._floor = floor
        self._partner = partner
        self._highest = np.empty((self._tile, len(floor)), np.int32)
        self._lowest = np.empty_like(self._highest)
        self._filled = 0
        self._started = False
        self._weight = 1.0
        self.level = np.zeros(len(floor))
        self.release = floor.copy()
        self._pressed_tiles = np.zeros(len(floor), np.int64)

    def step(self, highest: Int32s, lowest: Int32s) -> tuple[Floats, Floats]:
        """Take the extremes of further chunks, (n, n_channels) each; give levels for each chunk.

        Returns
        -------
        level, release : float arrays (n, n_channels)
            A wheel is on where a sample passes ``level + release``.
        """
        n = len(highest)
        level, release = np.empty(highest.shape), np.empty(highest.shape)
        if n and not self._started:
            self._begin(highest[0], lowest[0])
        done = 0
        while done < n:
            part = slice(done, done + min(n - done, self._tile - self._filled))
            level[part], release[part] = self.level, self.release
            done = part.stop
            self._keep(highest[part], lowest[part])
        return level, release

    def _begin(self, highest: Int32s, lowest: Int32s) -> None:
        self._started = True
        self.level = (highest / 2) + (lowest / 2)
        self._set_noise(np.subtract(highest, lowest, dtype=np.float64))

    def _set_noise(self, spread: Floats) -> None:
        noise = NOISE_FACTOR * spread / range_per_sigma(CHUNK)
        self.release = np.maximum(noise, self._floor)
        self._spread = spread

    def _keep(self, highest: Int32s, lowest: Int32s) -> None:
        end = self._filled + len(highest)
        self._highest[self._filled : end] = highest
        self._lowest[self._filled : end] = lowest
        self._filled = end
        if end == self._tile:
            self._renew()
            self._filled = 0

    def _renew(self) -> None:
        """New level and noise at the end of half a second."""
        top = self._highest - self.level
        bottom = self._lowest - self.level
        quiet = (top <= self.release) & (bottom >= -self.release)
        seen = quiet.sum(axis=0)
        enough = seen * 8 >= self._tile
        count = np.maximum(seen, 1)
        shift = np.where(quiet, top + bottom, 0.0).sum(axis=0) / (2 * count)
        spread = np.where(quiet, top - bottom, 0.0).sum(axis=0) / count
        weight = np.where(enough, self._weight, 0.0)
        self.level = self.level + weight * shift
        self._set_noise(self._spread + weight * (spread - self._spread))
        self._weight = _SMOOTHING
        if enough.all():
            self._pressed_tiles[:] = 0
        else:
            self._recover(top, bottom, enough)

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
