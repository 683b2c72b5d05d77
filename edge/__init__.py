"""Steelyard: the edge service of a weigh-in-motion station."""

__version__ = "0.1.0"
