"""The scene: flood and learn in eight steps, each proved by what was seen on the wire."""
