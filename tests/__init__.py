"""Tests: unit (no root, no waiting), net (real labs), support, bench, interop, lint, vm."""
