"""A VXLAN tunnel end point (VTEP, RFC 7348) in Python. It runs on any Linux host."""
