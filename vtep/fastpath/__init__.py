"""The fast path: the kernel forwards what the core has decided. Nothing here decides."""
