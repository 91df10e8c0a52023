"""Numbers that more than one program needs: protocol constants and the project's defaults.

This module imports nothing, so that the laboratory and other VTEP kinds can use it without Scapy.
"""

from __future__ import annotations

# RFC 7348
VXLAN_PORT = 4789  # section 5: UDP destination port assigned by IANA
VXLAN_HEADER_LENGTH = 8  # section 5
FLAG_VNI_VALID = 0x08  # section 5: the I flag in the first octet
LAST_VNI = 0xFFFFFF  # section 4: a VNI has 24 bits
FIRST_SOURCE_PORT, LAST_SOURCE_PORT = 49152, 65535  # section 5: dynamic port range

# IEEE 802.1Q
LAST_VLAN = 4094  # VLAN 0 and 4095 are reserved

# RFC 791
LARGEST_PACKET = 65_535  # total length has 16 bits

# Defaults of this project
DEFAULT_AGEING_S = 300  # seconds until a learned entry that is not refreshed expires
DEFAULT_MAC_LIMIT = 65_536  # learned MAC addresses per VNI
DEFAULT_TTL = 64  # outer TTL or hop limit, for unicast and multicast
