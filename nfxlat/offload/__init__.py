"""The BPF programs at ingress: their source, what is built of it, and the structures that they share with us.

`ingress.c` is the source, `*.bpf` are built by contrib/dev/build-offload and lie in the repository, so nobody who runs
nfxlat needs a compiler. No I/O but for reading these; nfxlat.host loads and attaches.
"""
