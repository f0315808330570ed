// SPDX-License-Identifier: GPL-2.0-or-later
/* At egress, for nfxlat/bench/flowhash.py: skb->hash, over addresses and ports, is computed where it lacks. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

static __u32 (*get_hash_recalc)(struct __sk_buff *skb) = (void *)34; /* BPF_FUNC_get_hash_recalc */

__attribute__((section("tc/flowhash"), used)) int flowhash(struct __sk_buff *skb)
{
	get_hash_recalc(skb);
	return TC_ACT_UNSPEC;
}
