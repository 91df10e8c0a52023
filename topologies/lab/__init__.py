"""The machinery of a lab: its namespaces, its Open vSwitch, its nodes, its life from up to down."""
