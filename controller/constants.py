"""Protocol numbers, well-known addresses and defaults that more than one module needs.

This module imports nothing. Numbers that only one message format needs (type codes, header
lengths) are in the module that reads that format.
"""

from __future__ import annotations

# Ethernet (IEEE 802.3, 802.1D, 802.1AB)
ETHERNET_LENGTH = 14  # destination, source, EtherType; the underlay has no VLAN tags
SHORTEST_FRAME = 60  # octets without the frame check sequence; shorter frames are padded
ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_LLDP = 0x0800, 0x86DD, 0x88CC
EXACT_MAC = b"\xff" * 6  # the mask that compares all 48 bits
GROUP_BIT = bytes.fromhex("010000000000")  # set in every multicast and broadcast address
BRIDGE_GROUP, BRIDGE_GROUP_MASK = bytes.fromhex("0180c2000000"), bytes.fromhex("fffffffffff0")
LLDP_MAC = bytes.fromhex("0180c200000e")  # "nearest bridge": no 802.1D bridge forwards it

# IP
IP_PROTO_IGMP, IP_PROTO_ICMPV6 = 2, 58
EXACT_IPV4, EXACT_IPV6 = "255.255.255.255", ":".join(["ffff"] * 8)  # masks of one address
UNSPECIFIED_IPV4, UNSPECIFIED_IPV6 = "0.0.0.0", "::"
ALL_SYSTEMS, ALL_NODES = "224.0.0.1", "ff02::1"  # destinations of general queries

# IGMP (RFC 3376 section 8) and MLD (RFC 3810 section 9) have the same defaults
ROBUSTNESS = 2  # 8.1, 9.1
QUERY_INTERVAL_S = 125.0  # 8.2, 9.2
QUERY_RESPONSE_S = 10.0  # 8.3, 9.3
LAST_MEMBER_INTERVAL_S = 1.0  # 8.8, 9.8

# Source addresses of a querier without an address of its own. IGMP has 0.0.0.0 for it (RFC 4541
# section 2.1.1 point 1b). MLD has nothing like it: hosts ignore queries that are not from a
# link-local address (RFC 3810 5.1.14), and the querier with the lowest address is elected (7.6.2).
# The highest address that is not a reserved anycast identifier (RFC 2526 section 2) is answered by
# hosts and loses every election.
IGMP_PROXY_SOURCE = UNSPECIFIED_IPV4
MLD_PROXY_SOURCE = "fe80::ffff:ffff:ffff:ff7f"

# Locally administered MAC addresses of the frames that the controller sends
QUERIER_MAC = bytes.fromhex("0276786c6162")
PROBE_SOURCE_MAC = bytes.fromhex("0276786c6163")

# OpenFlow 1.3
OPENFLOW_PORT = 6653  # assigned by IANA
LAST_PHYSICAL_PORT = 0xFFFFFF00  # OFPP_MAX; reserved port numbers are above it
FLOOD = 0xFFFFFFFB  # OFPP_FLOOD: every port but the ingress port
CONTROLLER = 0xFFFFFFFD  # OFPP_CONTROLLER
NO_BUFFER = 0xFFFF  # OFPCML_NO_BUFFER: the switch sends the whole frame to the controller
