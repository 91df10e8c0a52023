"""Control sockets: one JSON request, one JSON answer."""
