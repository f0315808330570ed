"""What crosses a lab in both directions."""

from nfxlat.lab.topology import HOST4_6, HOST6, HOST6_4, Lab
from nfxlat.lab.transfer import ServerProcess, download


def download_both_ways(lab: Lab, octets: int) -> None:
    """A file of so many octets from either host, by the other, whole."""
    servers = [ServerProcess(namespace, octets) for namespace in (lab.host4, lab.host6)]
    try:
        server4, server6 = (server.ready() for server in servers)
        assert lab.host4.call(download, HOST6_4, server6).intact
        assert lab.host6.call(download, HOST4_6, server4, HOST6).intact
    finally:
        for server in servers:
            server.close()
