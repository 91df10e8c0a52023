"""Installation: the set-up script, the build backend, and the checks of `vxlab doctor`."""
