"""The machine under the laboratory: its set-up and what it has and lacks."""
