"""Several workers: the rules that send a packet to one of them, by its ports.

NFQUEUE's own hash ignores ports, and its ranges cannot stride over a worker's two queues, so nft's jhash does it:

    ip protocol tcp ... goto queue_tcp
    ip protocol tcp ... jhash tcp sport . tcp dport mod 2 vmap { 0 : goto queue_tcp, 1 : goto queue_tcp_1 }

All packets of a flow that have ports go to one worker, and so do all its fragments, to the first one: fragments have no
ports but the first, and would overtake each other. What is neither TCP nor UDP goes to the first worker too.
"""

import re

_RULE = re.compile(
    r'^(?P<indent>\t+)(?P<match>.*?)goto (?P<chain>queue_\w+) comment "(?P<comment>[^"]+)"$', re.MULTILINE
)
_CHAIN = re.compile(r"^\tchain (?P<chain>queue_\w+) \{\n(?:\t\t.*\n)*\t\}\n", re.MULTILINE)
_UNFRAGMENTED_UDP = {"ip": "ip protocol udp ip frag-off & 0x3fff == 0", "ip6": "ip6 nexthdr udp"}


def chain_of(chain: str, worker: int) -> str:
    """The name of worker `worker`'s queue chain of the kind `chain` (queue_plain or queue_tcp)."""
    return f"{chain}_{worker}" if worker else chain


def spread(rules: str, workers: int) -> str:
    """`rules` with its queue chains once a worker, and with each `goto` to one of them spread by ports."""
    if workers == 1:
        return rules
    tables = re.split(r"(?m)^(?=table ip6? \w+ \{)", rules)
    return "".join(_spread_table(table, workers) for table in tables)


def _spread_table(table: str, workers: int) -> str:
    family = "ip6" if table.startswith("table ip6 ") else "ip"

    def to_workers(protocol: str, chain: str) -> str:
        verdicts = ", ".join(f"{worker} : goto {chain_of(chain, worker)}" for worker in range(workers))
        return f"jhash {protocol} sport . {protocol} dport mod {workers} vmap {{ {verdicts} }}"

    def rule(found: re.Match[str]) -> str:
        indent, match, chain, comment = found["indent"], found["match"], found["chain"], found["comment"]
        for protocol in ("tcp", "udp"):
            if f"protocol {protocol}" in match or f"nexthdr {protocol}" in match:
                return f'{indent}{match}{to_workers(protocol, chain)} comment "{comment}"'
        if match:  # ICMP errors: to the first worker
            return found[0]
        udp = f'{indent}{_UNFRAGMENTED_UDP[family]} {to_workers("udp", chain)} comment "{comment}-udp"'
        return f"{udp}\n{found[0]}"

    def chains(found: re.Match[str]) -> str:
        text, chain = found[0], found["chain"]
        more = (
            f'\n\tchain {chain_of(chain, worker)} {{\n\t\tdrop comment "{_closed(text)}-{worker}"\n\t}}\n'
            for worker in range(1, workers)
        )
        return text + "".join(more)

    return _RULE.sub(rule, _CHAIN.sub(chains, table))


def _closed(chain: str) -> str:
    """The comment of the rule that closes a queue chain."""
    return chain.rpartition('comment "')[2].partition('"')[0]
