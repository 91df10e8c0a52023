"""What a lab needs of the operating system: namespaces, a directory, an Open vSwitch of its own."""
