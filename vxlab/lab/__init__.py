"""A running lab: bring-up and operations, and its client side."""
