"""The Mininet node and link classes that a lab is made of."""
