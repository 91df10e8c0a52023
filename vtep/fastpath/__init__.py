"""The eBPF data path: the kernel forwards known unicast as the core has decided."""
