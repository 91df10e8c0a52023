"""Invalid topology files: the tables of test_invalid_topologies.py."""

from __future__ import annotations

HEAD = """\
from vxlab import FLAG, Option, OverlayTopo, choice, whole

class Mine(OverlayTopo):
    def lay(self):
        red = self.segment(10, "239.1.1.10")
        s1 = self.underlay_switch("s1")
        hv1 = self.hypervisor("hv1", s1)
        hv2 = self.hypervisor("hv2", s1)
        self.vm("A", hv1, red, "10.0.0.1/24", vlan=5)
"""
TAIL = """
topos = {"mine": Mine}
"""


def mine(*statements: str, head: str = HEAD) -> str:
    """A topology file that is valid except for the statements at its end."""
    return head + "".join(f"        {line}\n" for line in statements) + TAIL


# The text added to the valid file in line 10; the node that the error names; further words of it.
Row = tuple[str, str, str]
INVALID: dict[str, Row] = {
    # -- names
    "empty name": ('self.vm("", hv1, red, "10.0.0.2/24")', "VM ''", "letters A-Z"),
    "blank in a name": ('self.vm("web 1", hv1, red, "10.0.0.2/24")', "'web 1'", "letters A-Z"),
    "slash in a name": ('self.vm("../x", hv1, red, "10.0.0.2/24")', "'../x'", "letters A-Z"),
    "name with a newline": ('self.vm("a\\nb", hv1, red, "10.0.0.2/24")', r"'a\nb'", "letters"),
    "shell in a name": ('self.vm("a;reboot", hv1, red, "10.0.0.2/24")', "'a;reboot'", "digits"),
    "letter beyond ASCII": ('self.vm("bücher", hv1, red, "10.0.0.2/24")', "bücher", "A-Z"),
    "name of a namespace": ('self.vm("@lab", hv1, red, "10.0.0.2/24")', "'@lab'", "letters"),
    "name that begins with -": ('self.hypervisor("-hv", s1)', "hypervisor '-hv'", "start with"),
    "name that is a number": ("self.hypervisor(3, s1)", "hypervisor 3", "a string, not int"),
    "name that is None": ('self.vm(None, hv1, red, "10.0.0.2/24")', "VM None", "a string"),
    "VM's name too long": (
        'self.vm("v" * 33, hv1, red, "10.0.0.2/24")', "VM vvv", "must have at most 32"),
    "hypervisor's name too long": (
        'self.hypervisor("h" * 33, s1)', "hypervisor hhh", "must have at most 32"),
    "switch's name too long": (
        'self.underlay_switch("s" * 16, s1)', "switch sss", "must have at most 15"),
    "name that is a CLI command": (
        'self.vm("net", hv1, red, "10.0.0.2/24")', "VM net", "command of the Mininet CLI"),
    "name that is a keyword": (
        'self.vm("class", hv1, red, "10.0.0.2/24")', "VM class", "keyword of Python"),
    "name lo": ('self.vm("lo", hv1, red, "10.0.0.2/24")', "VM lo", "uses itself"),
    "name of Mininet's controller": ('self.hypervisor("c0", s1)', "hypervisor c0", "itself"),
    "name of a log file": ('self.hypervisor("lab", s1)', "hypervisor lab", "uses itself"),
    "name of a bridge": ('self.vm("br1", hv1, red, "10.0.0.2/24")', "VM br1", "virtual switch"),
    "name of a second bridge": ('self.underlay_switch("br1x1", s1)', "switch br1x1", "virtual"),
    "name of a port": ('self.underlay_switch("s1-eth1", s1)', "switch s1-eth1", "ports'"),
    "name of a kernel device": ('self.underlay_switch("gre0", s1)', "switch gre0", "kernel"),
    "duplicate VM": (
        'self.vm("A", hv2, red, "10.0.0.2/24")', "VM A", "of a VM already (line 9)"),
    "VM named like a hypervisor": (
        'self.vm("hv2", hv2, red, "10.0.0.2/24")', "VM hv2", "of a hypervisor already"),
    "hypervisor named like a switch": ('self.hypervisor("s1", s1)', "hypervisor s1", "switch"),
    "duplicate switch": ('self.underlay_switch("s1")', "switch s1", "already (line 6)"),
    "invalid name for Mininet's addHost": ('self.addHost("net")', "node net", "Mininet CLI"),
    "path for addHost": ('self.addHost("../x")', "node '../x'", "letters A-Z"),
    "number for addHost": ("self.addHost(5)", "node 5", "a string, not int"),
    "name too long for addSwitch": (
        'self.addSwitch("s" * 16)', "switch sss", "must have at most 15"),
    "host linked to itself": ('self.addLink("A", "A")', "node A", "linked to itself"),
    "node added behind our back": ('self.addHost("A")', "node A", "of a VM already"),
    # -- addresses of VMs
    "no prefix length": (
        'self.vm("B", hv2, red, "10.0.0.3")', "VM B",
        "address '10.0.0.3' has no prefix length; write for example 10.0.0.3/24"),
    "no address at all": ('self.vm("B", hv2, red, "")', "VM B", "'' is not an IP address"),
    "octet beyond 255": ('self.vm("B", hv2, red, "10.0.0.300/24")', "VM B", "'10.0.0.300/24'"),
    "prefix beyond 32": ('self.vm("B", hv2, red, "10.0.0.2/33")', "VM B", "'10.0.0.2/33'"),
    "prefix length 0": ('self.vm("B", hv2, red, "10.0.0.2/0")', "VM B", "prefix length 0"),
    "address that is a number": ('self.vm("B", hv2, red, 5)', "VM B", "5: must be a string"),
    "address that is an object": (
        'self.vm("B", hv2, red, __import__("ipaddress").ip_interface("10.0.0.2/24"))', "VM B",
        "must be a string"),
    "IPv6 address of a VM": ('self.vm("B", hv2, red, "2001:db8::1/64")', "VM B", "be IPv4"),
    "network address": ('self.vm("B", hv2, red, "10.0.0.0/24")', "VM B", "network 10.0.0.0/24"),
    "broadcast address": ('self.vm("B", hv2, red, "10.0.0.255/24")', "VM B", "is the broadcast"),
    "multicast address": ('self.vm("B", hv2, red, "239.0.0.1/24")', "VM B", "is a multicast"),
    "loopback address": ('self.vm("B", hv2, red, "127.0.0.2/8")', "VM B", "loopback"),
    "limited broadcast": ('self.vm("B", hv2, red, "255.255.255.255/24")', "VM B", "reserved"),
    "address of network 0": ('self.vm("B", hv2, red, "0.0.0.7/24")', "VM B", "reserved"),
    "duplicate address": (
        'self.vm("B", hv2, red, "10.0.0.1/24")', "VM B", "that of VM A in VNI 10"),
    "mixed prefix lengths": (
        'self.vm("B", hv2, red, "10.0.0.2/16")', "VM B", "must be /24"),
    "underlay's address": (
        'self.vm("B", hv2, red, "192.0.2.11/24")', "VM B", "underlay address of hypervisor hv1"),
    # -- MACs
    "multicast MAC": (
        'self.vm("B", hv2, red, "10.0.0.2/24", mac="01:00:5e:00:00:01")', "VM B",
        "MAC '01:00:5e:00:00:01': must be"),
    "broadcast MAC": (
        'self.vm("B", hv2, red, "10.0.0.2/24", mac="ff:ff:ff:ff:ff:ff")', "VM B", "one station"),
    "zero MAC": (
        'self.vm("B", hv2, red, "10.0.0.2/24", mac="00:00:00:00:00:00")', "VM B", "one station"),
    "short MAC": ('self.vm("B", hv2, red, "10.0.0.2/24", mac="02:00:00")', "VM B", "'02:00:00'"),
    "empty MAC": ('self.vm("B", hv2, red, "10.0.0.2/24", mac="")', "VM B", "MAC '': must be"),
    "MAC that is a number": ('self.vm("B", hv2, red, "10.0.0.2/24", mac=5)', "VM B", "MAC 5:"),
    "duplicate MAC": (
        'self.vm("B", hv2, red, "10.0.0.2/24", mac="02:00:0a:00:00:01")', "VM B",
        "MAC 02:00:0a:00:00:01 is that of VM A"),
    # -- VLANs
    "VLAN 0": ('self.vm("B", hv2, red, "10.0.0.2/24", vlan=0)', "VM B: VLAN 0", "1 to 4094"),
    "VLAN 4095": ('self.vm("B", hv2, red, "10.0.0.2/24", vlan=4095)', "VM B: VLAN 4095", "1 to"),
    "VLAN as text": ('self.vm("B", hv2, red, "10.0.0.2/24", vlan="7")', "VM B: VLAN '7'", "1 to"),
    "VLAN as bool": ('self.vm("B", hv2, red, "10.0.0.2/24", vlan=True)', "VLAN True", "1 to"),
    "VLAN of another segment": (
        'blue = self.segment(20, "239.1.1.20"); self.vm("B", hv1, blue, "10.0.0.2/24", vlan=5)',
        "hypervisor hv1", "VLAN 5 already carries VNI 10"),
    "two VLANs for a segment": (
        'self.vm("B", hv1, red, "10.0.0.2/24", vlan=6)', "hypervisor hv1", "VNI 10 has VLAN 5"),
    "VLAN of attach": ("self.attach(hv2, red, 5000)", "hypervisor hv2: VLAN 5000", "1 to 4094"),
    # -- segments
    "VNI -1": ('self.segment(-1, "239.1.1.1")', "VNI -1", "from 0 to 16777215"),
    "VNI 2**24": ('self.segment(2**24, "239.1.1.1")', "VNI 16777216", "from 0 to 16777215"),
    "VNI as text": ('self.segment("20", "239.1.1.1")', "VNI '20'", "a whole number"),
    "VNI as float": ('self.segment(20.0, "239.1.1.1")', "VNI 20.0", "a whole number"),
    "VNI as bool": ('self.segment(True, "239.1.1.1")', "VNI True", "a whole number"),
    "VNI as None": ('self.segment(None, "239.1.1.1")', "VNI None", "a whole number"),
    "duplicate VNI": ('self.segment(10, "239.1.1.2")', "VNI 10", "must be unique"),
    "group not multicast": (
        'self.segment(20, "10.1.1.1")', "VNI 20: group '10.1.1.1'", "IPv4 multi"),
    "group of all hosts": ('self.segment(20, "224.0.0.1")', "VNI 20: group '224.0.0.1'", "such as"),
    "group of mDNS": ('self.segment(20, "224.0.0.251")', "VNI 20: group '224.0.0.251'", "such as"),
    "group with a zone": (
        'self.segment(20, "ff05::1%eth0")', "VNI 20: group 'ff05::1%eth0'", "such as"),
    "group of another family": ('self.segment(20, "ff05::1")', "group ff05::1", "be an IPv4"),
    "group that is no address": ('self.segment(20, "red")', "VNI 20: group 'red'", "such as"),
    "group that is a number": ("self.segment(20, 5)", "VNI 20: group 5", "such as"),
    "group left out": ("self.segment(20)", "TypeError", "'group'; in: self.segment(20)"),
    # -- the underlay
    "unconnected switch": ('self.underlay_switch("s2")', "switch s2", "not connected to switch s1"),
    "unconnected, used": (
        's2 = self.underlay_switch("s2"); self.hypervisor("hv3", s2)', "switch s2", "an uplink"),
    "uplink that is not there": (
        'self.underlay_switch("s2", "s9")', "switch s2: uplink 's9'", "s1"),
    "uplink to itself": ('self.underlay_switch("s2", "s2")', "switch s2: uplink 's2'", "must be"),
    "uplink to a hypervisor": ('self.underlay_switch("s2", "hv1")', "switch s2: uplink", "must be"),
    "uplink of a wrong type": ('self.underlay_switch("s2", hv1)', "switch s2: uplink", "must be"),
    "switch that is not there": (
        'self.hypervisor("hv3", "s9")', "hypervisor hv3: switch 's9'", "s1"),
    "switch that is a hypervisor": ('self.hypervisor("hv3", "hv1")', "hypervisor hv3", "must be"),
    "switch None": ('self.hypervisor("hv3", None)', "hypervisor hv3: switch None", "must be"),
    "switch whose ports' names are taken": (
        'self.underlay_switch("a-long-switch01", s1); self.underlay_switch("a-long5687", s1)',
        "switch a-long5687: its port a-long5687-eth1", "of switch a-long-switch01"),
    "loop": (
        's2 = self.underlay_switch("s2", s1); self.addLink(s2, s1)', "switch s2",
        "a link to switch s1 closes a loop"),
    "switch linked to itself": ("self.addLink(s1, s1)", "switch s1", "closes a loop"),
    "link to an unknown node": ('self.addLink(s1, "s9")', "KeyError", "'s9'"),
    "too many hypervisors": (
        'for n in range(3, 242): self.hypervisor(f"hv{n}", s1)', "hypervisor hv241", "at most 240"),
    # -- machines
    "machine without prefix": ('self.machine("r", s1, "192.0.2.1")', "machine r", "192.0.2.1/24"),
    "machine of another family": ('self.machine("r", s1, "2001:db8::1/64")', "machine r", "IPv4"),
    "machine at a hypervisor": (
        'self.machine("r", s1, "192.0.2.12/24")', "machine r", "that of hypervisor hv2"),
    "machine of another prefix": (
        'self.machine("r", s1, "192.0.2.1/16")', "machine r", "must be /24"),
    "two machines at one address": (
        'self.machine("q", s1, "192.0.2.9/24"); self.machine("r", s1, "192.0.2.9/24")',
        "machine r", "of machine q"),
    "machine at no switch": ('self.machine("r", "s7", "192.0.2.1/24")', "machine r", "'s7'"),
    "machine named like a VM": ('self.machine("A", s1, "192.0.2.1/24")', "machine A", "VM already"),
    "machine's address a list": ('self.machine("r", s1, ["192.0.2.1/24"])', "machine r", "string"),
    # -- objects of a wrong type
    "hypervisor as text": (
        'self.vm("B", "hv1", red, "10.0.0.2/24")', "VM B: hypervisor 'hv1'", "self.hypervisor()"),
    "segment as a number": (
        'self.vm("B", hv2, 10, "10.0.0.2/24")', "VM B: segment 10", "self.segment()"),
    "arguments exchanged": ('self.vm("B", red, hv2, "10.0.0.2/24")', "VM B: hypervisor", "must be"),
    "segment of another topology": (
        'other = type(red)(10, "239.1.1.10"); self.vm("B", hv2, other, "10.0.0.2/24")', "VM B",
        "of this topology returned (10)"),
    "hypervisor of another topology": (
        'self.vm("B", type(hv1)("hv1", 1), red, "10.0.0.2/24")', "VM B: hypervisor", "(hv1, hv2)"),
    "attach with text": ('self.attach("hv1", red)', "attach: hypervisor 'hv1'", "must be"),
    # -- the user's own code
    "exception": ("1 / 0", "ZeroDivisionError", "division by zero; in: 1 / 0"),
    "exception in a function": ("int('x')", "ValueError", "in: int('x')"),
    "exception of several lines": (r"raise ValueError('a\nb')", "ValueError: a b", "in: raise"),
    "exception without words": ("raise KeyError", "KeyError", "in: raise KeyError"),
    "exception whose text fails": (
        "raise type('E', (Exception,), {'__str__': lambda e: 1 / 0})", "E; in", "raise"),
    "any exception": ("raise BaseException('x')", "BaseException: x", "in: raise"),
    "UsageError of the user": (
        "from vxlab import UsageError; raise UsageError('no')", "UsageError: no", "in: from"),
    "exit": ("raise SystemExit(7)", "SystemExit", "7"),
    "unknown word": ('self.router("r")', "AttributeError", "'router'"),
    "unknown option read": ("self.settings['nonesuch']", "KeyError", "nonesuch"),
}  # fmt: skip


OPTIONS = """\
from vxlab import FLAG, Option, OverlayTopo, choice, whole

class Mine(OverlayTopo):
    options = (
        Option("good", whole(1, 9), 4, "a valid one"),
        {option}
    )

    def lay(self):
        self.hypervisor("hv1", self.underlay_switch("s1"))

topos = {{"mine": Mine}}
"""
INVALID_OPTIONS = {
    "bad default": ('Option("size", whole(1, 9), 10, "x"),', ":6: option 'size'", "from 1 to 9"),
    "default of a wrong type": (
        'Option("size", whole(1, 9), "4", "x"),', ":6: option 'size'", "'4'"),
    "default not among the words": ('Option("w", choice("a", "b"), "c", "x"),', ":6:", "a or b"),
    "default no flag": ('Option("f", FLAG, "maybe", "x"),', ":6: option 'f'", "true or false"),
    "declared twice": ('Option("good", whole(1, 9), 4, "x"),', ":6: option 'good'", "twice"),
    "a common option's name": ('Option("ageing", whole(1, 9), 4, "x"),', ":6:", "all topologies"),
    "dot in the name": ('Option("a.b", whole(1, 9), 4, "x"),', ":6: option 'a.b'", "a-z"),
    "empty name": ('Option("", whole(1, 9), 4, "x"),', ":6: option ''", "a-z"),
    "name a number": ("Option(5, whole(1, 9), 4, 'x'),", ":6: option 5", "a-z"),
    "name of a Mininet parameter": ('Option("hopts", FLAG, True, "x"),', ":6:", "Mininet"),
    "kind a type": ('Option("size", int, 4, "x"),', ":6: option 'size'", "must be FLAG"),
    "help missing": ('Option("size", whole(1, 9), 4),', ":6: TypeError", "'help'"),
    "help a number": ('Option("size", whole(1, 9), 4, 5),', ":6: option 'size'", "help 5"),
    "no Option": ('"size",', ": Mine.options", "must be an Option"),
    "bounds exchanged": ('Option("size", whole(9, 1), 4, "x"),', ":6:", "at most the second"),
    "bounds of text": ('Option("size", whole("1", "9"), 4, "x"),', ":6:", "whole number"),
    "choice of nothing": ('Option("size", choice(), "a", "x"),', ":6:", "at least one"),
}  # fmt: skip


BASE = "from vxlab import OverlayTopo\n"
CLASS = "class Mine(OverlayTopo):\n    def lay(self):\n        self.hypervisor('hv1', "
CLASS += "self.underlay_switch('s1'))\n"
INVALID_FILES: dict[str, tuple[bytes, str, str]] = {
    "empty file": (b"", "mine.py: ", "`topos` is missing"),
    "topos missing": ((BASE + CLASS).encode(), "mine.py: ", 'topos = {"mine": YourTopology}'),
    "topos empty": (b"topos = {}", "mine.py: topos {}", "must be a dictionary"),
    "topos a list": (b"topos = []", "mine.py: topos []", "must be a dictionary"),
    "topos None": (b"topos = None", "mine.py: ", "`topos` is missing"),
    "value a text": (b"topos = {'mine': 'Mine'}", "mine.py: topos has 'Mine'", "a class"),
    "value None": (b"topos = {'mine': None}", "mine.py: topos has None", "a class"),
    "value a function": (b"topos = {'mine': lambda: 1}", "mine.py: topos has", "a class"),
    "value a plain class": (b"topos = {'mine': int}", "mine.py: topos has", "OverlayTopo"),
    "value an object": (
        (BASE + CLASS + "topos = {'mine': Mine()}").encode(), "mine.py: topos has", "a class"),
    "several, none of the file's name": (
        (BASE + CLASS + "topos = {'a': Mine, 'b': Mine}").encode(), "mine.py: topos has", "'mine'"),
    "no lay": (
        (BASE + "class Mine(OverlayTopo): pass\ntopos = {'mine': Mine}").encode(),
        "mine.py: class Mine", "lay(self)"),
    "build instead of lay": (
        (BASE + "class Mine(OverlayTopo):\n    def build(self): pass\ntopos = {'mine': Mine}"
         ).encode(), "mine.py: class Mine", "not build()"),
    "own __init__": (
        (BASE + CLASS + "    def __init__(self): pass\ntopos = {'mine': Mine}").encode(),
        "mine.py: class Mine", "super()"),
    "lay without self": (
        (BASE + "class Mine(OverlayTopo):\n    def lay(): pass\ntopos = {'mine': Mine}").encode(),
        "mine.py", "TypeError"),
    "empty topology": (
        (BASE + "class Mine(OverlayTopo):\n    def lay(self): pass\ntopos = {'mine': Mine}"
         ).encode(), "mine.py: topology Mine", "no hypervisor"),
    "lay a generator": (
        (BASE + "class Mine(OverlayTopo):\n    def lay(self): yield\ntopos = {'mine': Mine}"
         ).encode(), "mine.py: Mine.lay", "without async and yield"),
    "lay asynchronous": (
        (BASE + "class Mine(OverlayTopo):\n    async def lay(self): pass\ntopos = {'mine': Mine}"
         ).encode(), "mine.py: Mine.lay", "without async and yield"),
    "any exception at the top": (
        b"raise BaseException('x')\n", "mine.py:1: BaseException: x", "in:"),
    "syntax error": (b"x = 1\nclass Mine(:\n", "mine.py:2: SyntaxError", "class Mine(:"),
    "wrong indentation": (b"if 1:\nx = 1\n", "mine.py:2: IndentationError", "expected an indented"),
    "mixed tabs": (b"if 1:\n\tx = 1\n        y = 2\n", "mine.py:3: TabError", "inconsistent"),
    "import error": (b"\nimport nonesuch\n", "mine.py:2: ModuleNotFoundError", "nonesuch"),
    "import of a missing name": (
        b"from vxlab import Nonesuch\n", "mine.py:1: ImportError", "Nones"),
    "exception at the top": (b"x = []\nx[1]\n", "mine.py:2: IndexError", "in: x[1]"),
    "exit at the top": (b"raise SystemExit\n", "mine.py:1: SystemExit", "raise"),
    "binary file": (bytes(range(256)), "mine.py: ", "binary file"),
    "no UTF-8": (b"x = '\xff\xfe'\n", "mine.py", "utf-8"),
    "unknown encoding": (b"# coding: klingon\n", "mine.py", "klingon"),
}  # fmt: skip
