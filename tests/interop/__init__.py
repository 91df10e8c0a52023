"""Every ordered pair of VTEP kinds over both underlay families: lab, checks, page."""
