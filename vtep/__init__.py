"""A VXLAN tunnel end point (RFC 7348) in Python, usable alone on any Linux host."""
