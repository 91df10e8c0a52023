"""The checks of `make lint` in addition to ruff and mypy."""
