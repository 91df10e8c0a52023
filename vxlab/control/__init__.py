"""Control sockets: JSON lines, one request and one answer."""
