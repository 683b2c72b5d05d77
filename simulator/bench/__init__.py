"""Measurements that ``steelyard bench`` runs."""
