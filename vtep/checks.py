"""Checks of values that an operator gives, in a file or at run time.

Each error names the key, the value and what it must be.
"""

from __future__ import annotations

import ipaddress

from vtep.constants import LAST_VNI
from vtep.ethernet import is_learnable, mac_bytes


class ConfigError(Exception):
    """A value is invalid; the message names the key, the value and what it must be."""


def must_be(key: str, value: object, expected: str) -> ConfigError:
    """The ConfigError for an invalid value."""
    return ConfigError(f"{key} = {value!r}: must be {expected}")


def whole(key: str, value: object, low: int, high: int) -> int:
    """A checked whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise must_be(key, value, f"a whole number from {low} to {high}")
    return value


def vni(key: str, value: object) -> int:
    """A checked VNI."""
    return whole(key, value, 0, LAST_VNI)


def flag(key: str, value: object) -> bool:
    """A checked true or false."""
    if not isinstance(value, bool):
        raise must_be(key, value, "true or false")
    return value


def text(key: str, value: object) -> str:
    """A checked, non-empty string."""
    if not isinstance(value, str) or not value:
        raise must_be(key, value, "a non-empty string")
    return value


def _host(key: str, value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        found = ipaddress.ip_address(text(key, value))
    except ValueError:
        raise must_be(key, value, "an IP address") from None
    if found.is_multicast or found.is_unspecified or str(found) == "255.255.255.255":
        raise must_be(key, value, "the IP address of one host")
    return found


def address(key: str, value: object) -> str:
    """A checked IPv4 or IPv6 address of one host."""
    return str(_host(key, value))


def addresses(key: str, value: object) -> tuple[str, ...]:
    """A checked list of host addresses, each once."""
    if not isinstance(value, list):
        raise must_be(key, value, "a list of IP addresses")
    found = tuple(address(key, item) for item in value)
    if len(set(found)) != len(found):
        raise must_be(key, value, "a list without duplicates")
    return found


def group(key: str, value: object) -> str:
    """A checked multicast group."""
    try:
        found = ipaddress.ip_address(text(key, value))
    except ValueError:
        raise must_be(key, value, "a multicast group") from None
    if not found.is_multicast:
        raise must_be(key, value, "a multicast group: 224.0.0.0 to 239.255.255.255, or ff00::/8")
    return str(found)


def mac(key: str, value: object) -> bytes:
    """A checked MAC of one station, as bytes."""
    try:
        found = mac_bytes(text(key, value))
    except ValueError:
        raise must_be(key, value, "a MAC such as 02:00:00:00:00:0a") from None
    if not is_learnable(found):
        raise must_be(key, value, "the MAC of one station, not a group address")
    return found
