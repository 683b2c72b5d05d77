"""Commands by purpose; simulator, calibration and benches are loaded when they are asked for."""
