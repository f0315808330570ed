"""A translator under load for minutes, while it is killed, reloaded, overloaded and sent rubbish: nothing is lost that
is not explained, to the packet.

    accounts   what was sent, what arrived, and where the rest is
    scenes     what is done to it; each gives a row of the table
    facing     two translators that send each other the same packets
    hostile    packets that nobody should send
    watchers   who traces and scrapes metrics meanwhile

`contrib/dev/soak [--minutes N]`
"""
