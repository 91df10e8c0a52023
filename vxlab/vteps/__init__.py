"""VTEPs of other kinds behind the one interface: a configuration file in, a control socket out."""
