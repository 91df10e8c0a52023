"""Packet capture on the links of a lab: sockets, pcapng files, decoded lines."""
