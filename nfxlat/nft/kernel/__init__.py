"""Rules in the kernel: loaded, listed, changed by elements, removed."""
