"""Captures translated and packets explained, on the same core and without a network."""
