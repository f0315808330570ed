"""`nfxlat bench`: the same traffic through several models of translation, side by side in one run."""
