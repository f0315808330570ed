"""`nfxlat conformance`: hold whatever stands between an IPv4 and an IPv6 interface against the RFCs, case by case.

    cases/*.toml --> cases --> notation, octets --> run <--> links: two packet sockets <--> what is tested
                                                     |                                      drivers start it
                                                     +--> judge --> fields --> report, formats

Rules:
- What must come out is written in the cases, by hand, out of the text of the RFCs. Nothing here translates a packet or
  uses nfxlat's translator: it must be able to find its faults. (`drivers/core.py` runs it, as what is tested.)
- Packets are sent as they are, on interfaces that were named on the command line or made by a driver; on no others.
"""
