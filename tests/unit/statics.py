"""What statics say of the simulator's whole vehicles."""

from __future__ import annotations

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, Floats
from simulator.bodies import bodies_of
from simulator.dynamics import receptance
from simulator.fleet import SimVehicle
from simulator.wheels import wheel_ends


def load_transfer_kg(vehicle: SimVehicle, acceleration_mps2: float) -> Floats:
    """What steady braking or accelerating moves between axles, kg (n_axles,); the sum is zero.

    The bodies pitch under ``m a h`` until springs and tyres hold them: statics of the same model
    (for two axles ``m a h / (g L)``, whatever the springs).
    """
    ends = wheel_ends(vehicle)
    solved = receptance(ends, bodies_of(vehicle, ends), np.zeros(1))
    still = np.zeros((ends.static_n.size, 1), np.complex128)
    force_n = solved.forces(still, np.full(1, acceleration_mps2, np.complex128)).real
    return np.asarray(force_n.reshape(-1, 2).sum(axis=1) / STANDARD_GRAVITY_MPS2)
