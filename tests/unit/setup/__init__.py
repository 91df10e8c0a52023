"""Tests of the set-up, the doctor and the lint."""
