"""Dated law as data, and what it says of a vehicle."""
