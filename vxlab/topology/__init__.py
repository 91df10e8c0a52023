"""The description of a lab: what it consists of. Nothing here starts anything."""
