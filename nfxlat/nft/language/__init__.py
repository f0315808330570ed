"""nft text with the `xlat` statement: read, given its meaning, compiled to plain nft. No I/O but for included files."""
