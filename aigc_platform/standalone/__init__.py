"""The whole platform on one machine, from Python wheels: three embedded servers and the platform's own processes."""
