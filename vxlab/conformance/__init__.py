"""The conformance suite: one VTEP of any kind, judged from outside against RFC 7348."""
