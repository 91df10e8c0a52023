"""Figures, side by side with their peers in one run; never part of the tests."""
