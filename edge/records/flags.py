"""Doubt that travels with a number, and what of it bars a legal result."""

from __future__ import annotations

import enum

__all__ = ["LEGAL_BARRIERS", "Flag"]


class Flag(enum.IntFlag):
    """Doubt that travels with a number to the end; the core drops nothing silently."""

    NONE = 0
    GAP = 1 << 0
    """Samples were lost inside the passage."""
    SATURATED = 1 << 1
    """A converter stood at its end inside a pulse."""
    SPEED_OUT_OF_RANGE = 1 << 2
    """Outside the speed range that the certificate covers."""
    SPEED_CHANGE = 1 << 3
    """Braked or accelerated on the array by more than the lane allows."""
    WHEEL_OFF = 1 << 4
    """An axle pressed on one side only, or far heavier on one side than wheels can be."""
    ROW_MISSING = 1 << 5
    """A row of sensors did not see an axle that other rows saw."""
    AMBIGUOUS = 1 << 6
    """Pulses fit more than one set of axles, or more than one vehicle."""
    UNCALIBRATED = 1 << 7
    """No valid certificate: the nominal sensitivity of the maker was used."""
    INCOMPLETE = 1 << 8
    """The vehicle had not left the array when the data ended or the wait ran out."""
    LOAD_OUT_OF_RANGE = 1 << 9
    """An axle below Min or above Max of the certificate."""
    CLOCK_UNSURE = 1 << 10
    """The device clock had not settled, or stepped; the time is good to its bound only."""
    SEPARATOR_FAULT = 1 << 11
    """The vehicle separator contradicts the axles, or did not answer; gaps were used instead."""
    STRADDLING = 1 << 12
    """Wheels of one vehicle pressed on sensors of two lanes."""
    REVERSED = 1 << 13
    """The vehicle crossed the rows against the lane's direction."""
    STOPPED = 1 << 14
    """The vehicle stood on the array, or crawled below the lowest speed that can be weighed."""
    SEAL_BROKEN = 1 << 15
    """The digitiser, or its program, is not the one that was accepted."""


LEGAL_BARRIERS = (
    Flag.GAP
    | Flag.SATURATED
    | Flag.SPEED_OUT_OF_RANGE
    | Flag.SPEED_CHANGE
    | Flag.WHEEL_OFF
    | Flag.ROW_MISSING
    | Flag.AMBIGUOUS
    | Flag.UNCALIBRATED
    | Flag.INCOMPLETE
    | Flag.LOAD_OUT_OF_RANGE
    | Flag.STRADDLING
    | Flag.REVERSED
    | Flag.STOPPED
    | Flag.SEAL_BROKEN
)
"""With any of these a verdict is ``indeterminate`` (OIML R 134-1: no legal result outside the
rated conditions; facts graded from memory, so the pack states ``verified = false``)."""
