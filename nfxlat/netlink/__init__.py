"""Netlink as this process speaks it, for all layers above: sockets, and what nfnetlink tells about its queues."""
