"""What `make lint` checks beside ruff and mypy."""
