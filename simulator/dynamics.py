"""Vehicles that bounce: bodies on axles on tyres, solved in the frequency domain.

Every wheel end is an unsprung mass on its tyre under a spring and a damper; their upper ends are
carried by rigid bodies (``simulator.bodies``), which is what makes the axle loads of one vehicle
depend on each other. The system is linear and does not change with time, so the tyre forces of
any motion - also braking, standing, going backward - are the heights under the wheels over time,
times the receptance of the vehicle, all wheels at once and without time stepping.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from edge.records import Floats, Indices
from simulator.bodies import Bodies, bodies_of
from simulator.fleet import SimVehicle
from simulator.motion import Motion
from simulator.road import Surface
from simulator.wheels import WheelEnds, wheel_ends

Complexes = NDArray[np.complex128]

_STEP_S = 1 / 512
_SETTLE_S = 7.0
"""The least damped mode has faded to about one per cent of itself in this time."""
_FADE_S = 1.0
_BODY_BELOW_HZ = 30.0
"""Above it the bodies stand still: their part of the receptance is below one in a thousand."""


@dataclass(frozen=True, slots=True, eq=False)
class Receptance:
    """Tyre forces per metre of road height under each wheel, at some frequencies.

    Attributes
    ----------
    own : complex array (w, f)
        Force of a wheel with the bodies held still, N/m.
    lift : complex array (w, f_body)
        Force of a wheel on its body per metre of height, and of its tyre per metre of body.
    flexibility : complex array (f_body, m, m)
        Inverse of the bodies' dynamic stiffness, for the first ``f_body`` frequencies.
    bodies : Bodies
    """

    own: Complexes
    lift: Complexes
    flexibility: Complexes
    bodies: Bodies

    def forces(self, heights: Complexes, acceleration: Complexes | None = None) -> Complexes:
        """Dynamic forces (w, f) in newtons for spectra of heights (w, f) in metres.

        ``acceleration`` (f,) is that of the vehicle along the road: it pitches the bodies.
        """
        n = len(self.flexibility)
        lift, reach = self.lift, self.bodies.reach
        load = np.einsum("wi,wf->if", reach, lift * heights[:, :n])
        if acceleration is not None:
            load += np.outer(self.bodies.braking, acceleration[:n])
        body = np.einsum("fij,jf->if", self.flexibility, load)
        forces = self.own * heights
        forces[:, :n] -= lift * np.einsum("wi,if->wf", reach, body)
        return np.asarray(forces)

    def matrix(self) -> Complexes:
        """The whole receptance (f_body, w, w): forces of all wheels for heights under all."""
        n = len(self.flexibility)
        arm = self.lift.T[:, :, None] * self.bodies.reach
        own = np.einsum("wf,wv->fwv", self.own[:, :n], np.eye(len(self.own)))
        return np.asarray(own - arm @ self.flexibility @ arm.transpose(0, 2, 1))


def receptance(ends: WheelEnds, bodies: Bodies, frequency_hz: Floats) -> Receptance:
    """Solve the vehicle at rising frequencies.

    With ``k`` the suspension, ``t`` the tyre and ``D = k + t - m_u w^2`` of each wheel, eliminated
    wheel by wheel: ``F = t (1 - t/D) h - (t k / D) P q`` and
    ``(P' k (1 - k/D) P + K - M w^2) q = P' (k t / D) h``.
    """
    w = 2 * np.pi * frequency_hz
    k = _stiffness(ends.spring_npm, ends.damper_nspm, w)
    t = _stiffness(ends.tyre_npm, ends.tyre_damping_nspm, w)
    denominator = k + t
    denominator.real -= ends.unsprung_kg.reshape(-1, 1) * w**2
    sunk = np.divide(t, denominator)
    n = int(np.searchsorted(frequency_hz, _BODY_BELOW_HZ))
    k = k[:, :n]
    carried = k * (1 - k / denominator[:, :n])
    arms = np.einsum("wi,wj->wij", bodies.reach, bodies.reach)
    m = len(bodies.mass)
    stiffness = (carried.T @ arms.reshape(-1, m * m)).reshape(-1, m, m)
    stiffness += bodies.frame - bodies.mass * (w[:n] ** 2)[:, None, None]
    lift = sunk[:, :n] * k
    sunk *= -t
    sunk += t
    return Receptance(sunk, lift, np.linalg.inv(stiffness), bodies)


def _stiffness(spring_npm: Floats, damper_nspm: Floats, w: Floats) -> Complexes:
    """Of springs with dampers (w, f). Made in place: a vehicle's arrays are large, memory slow."""
    found = np.empty((spring_npm.size, len(w)), np.complex128)
    found.real = spring_npm.reshape(-1, 1)
    np.multiply(damper_nspm.reshape(-1, 1), w, out=found.imag)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class TyreForces:
    """Static plus dynamic force of every wheel over time, never negative.

    ``force_n`` is (n_axles, 2, n_times), left and right, at ``start_s + i * step_s``.
    """

    start_s: float
    step_s: float
    force_n: Floats

    def at(self, axle: int | Indices, time_s: Floats) -> Floats:
        """Forces (2, n) of the wheels of one axle, or of one for each of the times."""
        index, part = np.divmod((time_s - self.start_s) / self.step_s, 1.0)
        here = np.clip(index.astype(np.int64), 0, self.force_n.shape[-1] - 2)
        side = np.arange(2)[:, None]
        before_n, after_n = (self.force_n[axle, side, here + i] for i in (0, 1))
        return np.asarray(before_n * (1 - part) + after_n * part)


def tyre_forces(
    vehicle: SimVehicle, surface: Surface, motion: Motion, from_s: float, to_s: float
) -> TyreForces:
    """True forces of a vehicle on its way, from ``from_s`` to ``to_s``.

    The reckoning begins earlier, on a road that rises out of a plane, so that all has settled; it
    ends later, because a Fourier sum goes round.
    """
    ends = wheel_ends(vehicle)
    start_s = from_s - _SETTLE_S - _FADE_S
    n = next_fast_len(int((to_s + 2 * _FADE_S - start_s) / _STEP_S), real=True)
    time_s = start_s + np.arange(n) * _STEP_S
    front_m = motion.position_m(time_s)
    heights_m = np.stack(
        [
            surface.height_m(side, front_m - behind_m, contact_m)
            for behind_m, contacts_m in zip(vehicle.axle_behind_m, ends.contact_m, strict=True)
            for side, contact_m in enumerate(contacts_m)
        ]
    )
    heights_m *= _fade(time_s - start_s) * _fade(time_s[-1] - time_s)
    frequency_hz = np.asarray(np.fft.rfftfreq(n, _STEP_S), np.float64)
    solved = receptance(ends, bodies_of(vehicle, ends), frequency_hz)
    spectra = solved.forces(np.fft.rfft(heights_m), np.fft.rfft(motion.acceleration_at(time_s)))
    dynamic_n = np.fft.irfft(spectra, n).reshape(*ends.static_n.shape, n)
    return TyreForces(start_s, _STEP_S, np.maximum(ends.static_n[..., None] + dynamic_n, 0.0))


def _fade(time_s: Floats) -> Floats:
    """From 0 to 1 over ``_FADE_S``."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(time_s / _FADE_S, 0.0, 1.0)))
