// SPDX-License-Identifier: GPL-2.0-or-later
/* What nfxlat does at the ingress of interfaces. Two programs of one source, built by contrib/dev/build-offload:
 *
 * stamp    writes a superframe's gso_size into skb->priority (nfxlat/wire/stamp.py has the layout), for the queue
 * offload  translates packets of pairs of addresses, and of flows, that it was taught, and stamps the others
 *
 *     packet --> pair known, of this generation? --by flow--> flow known, of this generation?
 *                     |yes                                        |yes
 *                     +-------> nothing of it waits in the queue? <
 *                                       |yes
 *                                       +--> other header, checksum by difference --> ingress of the domain device
 *
 *     At each no: stamp --> rules, queue
 *
 * Rules
 * - It repeats what the rules have decided, and equals the core (nfxlat/xlat) octet for octet; nfxlat/offload/table.py
 *   has the other side of the structures below.
 * - Nothing is changed before all is known to be takeable: what is not, goes on as it came.
 * - skb->csum (CHECKSUM_COMPLETE; it covers all from the IP header on) has to follow each octet that changes. Headers
 *   are stored with BPF_F_RECOMPUTE_CSUM. bpf_skb_change_proto adds zeros, or takes the octets off that it removes.
 *   bpf_l4_csum_replace changes skb->csum by what the field changes by, no more: the IPv6 addresses, which that helper
 *   is known to forget, are in the header stored before. So the order of both does not matter.
 * - A superframe's last segment has the DF of the others (the core would give a short one DF=0).
 *
 * Symbols that are declared `extern` and not defined are put in when the program is loaded: maps, and numbers (as the
 * address of a symbol, so that the verifier knows them and never looks at what they rule out).
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stddef.h>

#define NUMBER(symbol) ((__u64)(long)&(symbol))
#define INLINE static inline __attribute__((always_inline))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define swap16(value) __builtin_bswap16(value)
#define swap32(value) __builtin_bswap32(value)
#else
#define swap16(value) ((__u16)(value))
#define swap32(value) ((__u32)(value))
#endif
#define likely(what) __builtin_expect(!!(what), 1)
#define unlikely(what) __builtin_expect(!!(what), 0)

/* --- put in when loaded --- */

extern char fit_udp;                     /* 1: UDP is stamped, 0: not; 1 only where udp is */
extern char udp;                         /* 1: what is below is known, so UDP may be judged; 0: not */
extern char skb_head, skb_end, gso_type; /* octets to sk_buff.head, sk_buff.end, skb_shared_info.gso_type */
extern char summed_at, summed_shift;     /* octet that holds sk_buff.ip_summed, bits right of it */
extern char state, pairs, answers, arrived, counts; /* maps */

/* --- helpers (linux/bpf.h, BPF_FUNC_*) --- */

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static __u64 (*ktime_get_ns)(void) = (void *)5;
static long (*skb_store_bytes)(struct __sk_buff *skb, __u32 offset, const void *from, __u32 length, __u64 flags) = (void *)9;
static long (*l4_csum_replace)(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags) = (void *)11;
static long (*clone_redirect)(struct __sk_buff *skb, __u32 ifindex, __u64 flags) = (void *)13;
static long (*redirect)(__u32 ifindex, __u64 flags) = (void *)23;
static long (*skb_change_proto)(struct __sk_buff *skb, __u16 protocol, __u64 flags) = (void *)31;
static long (*skb_pull_data)(struct __sk_buff *skb, __u32 length) = (void *)39;
static long (*probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;
static __u64 (*ktime_get_coarse_ns)(void) = (void *)160;

/* --- what user space shares: nfxlat/offload/table.py --- */

#define SECOND 1000000000ULL
#define UNUSED (30 * SECOND)   /* a pair that is not used for so long is forgotten */
#define ASK (30 * SECOND)      /* so old, its decision is judged anew: a copy of a packet goes to the rules */
#define ASK_AGAIN (2 * SECOND) /* and again, while there is no answer */
#define JUDGED (60 * SECOND)   /* so old, without an answer, it is forgotten */
#define DEAD (10 * SECOND)     /* so long without a supervisor, nothing is translated here */
#define DIVERTED (10 * SECOND) /* after a packet that only the core translates, others of its kind take the queue too */
#define ON_THE_WAY 200000ULL   /* nanoseconds from here to the queue at most, several packets at a time included */
#define PATIENCE 100000000ULL  /* so long they wait for each other where the queue overflows, before some are dropped */
#define ACTIVE (~0ULL)

struct state { /* of the domain */
	__u64 drained;    /* CLOCK_MONOTONIC, ns: what was queued before is translated and out */
	__u64 lost;       /* when the kernel last was seen to drop packets since a queue was full */
	__u64 beat;       /* when the supervisor last was alive */
	__u32 generation; /* pairs of another do not count */
	__u32 device;     /* index of the domain device */
	__u32 lowest_ipv6_mtu;
	__u8 ethernet[2 * ETH_ALEN]; /* of what goes in there */
};

struct key {
	__u32 ifindex;
	__u32 words[8]; /* source and destination; of IPv4 the first two, the others are 0 */
	__u32 ports;    /* of a flow, as in the header; of a pair 0 */
	__u32 protocol; /* likewise */
};

struct lane { /* TCP or UDP of a pair; of a flow one is in use */
	__u64 queued; /* when the last packet of it took the queue, 0: none is known to have done so yet; or ACTIVE */
	__u64 since;  /* when they began to */
	__u64 until;  /* until then all take the queue */
	__u64 whole;  /* when the last superframe of it took the queue: it bears its gso_size, so no number */
	__u32 number; /* of the last other one */
	__u32 unused;
};

struct pair { /* or flow */
	struct lane lanes[2]; /* TCP, UDP */
	__u64 learnt, used, judged, asked; /* coarse */
	__u64 packets, octets; /* translated here */
	__u32 generation;
	__u16 delta;   /* what the core adds to a checksum's complement */
	__u16 old_sum; /* folded sum of the old addresses */
	__u16 new_sum;
	__u16 traffic_class; /* bits that are kept << 8 | bits that are written */
	__u32 words[8]; /* the new addresses, as in struct key */
	__u32 by_flow;  /* the rules decide by ports or protocol: nothing else here counts but the generation */
};

struct arrived { /* what a worker says of a pair that it taught */
	__u64 learnt;      /* of that pair */
	__u32 numbers[2];  /* TCP, UDP: all with numbers up to this one were its, and are out; 0: it cannot tell */
};

_Static_assert(sizeof(struct state) == 48 && sizeof(struct key) == 44 && sizeof(struct pair) == 176 &&
		       sizeof(struct arrived) == 16,
	       "as table.py has them");

enum outcome { TRANSLATED, OCTETS, SEGMENTS, MISSED, STALE, WAITING, HELD, DIVERTING, UNFIT, FAILED, OUTCOMES };

struct counts { /* of one processor, by direction */
	__u64 of[2][OUTCOMES];
};

#define NEXT_HOP_BY_HOP 0
#define NEXT_FRAGMENT 44
#define MAGIC 0x6e660000 /* nfxlat/wire/stamp.py */
#define NUMBERED 0x6e640000
#define ANY 0x6e640000
#define ANY_MASK 0x6ffc0000
#define FIT_UDP 0x00010000
#define ASKING (MAGIC | FIT_UDP | 0xffff)
#define ASKING_MARK 0x6e667801
#define GSO_DODGY (1u << 1) /* linux/skbuff.h */
#define GSO_UDP_L4 (1u << 17)
#define SUMMED_PARTIAL 3
#define DF 0x4000
#define DF_THRESHOLD 1260
#define GOES_ON (-1)
#define DROPPED 2 /* TC_ACT_SHOT, TCX_DROP */

/* --- headers, as whole words where that is quicker --- */

struct ipv4 {
	__u8 version_ihl, tos;
	__u16 total_length, identification, fragment;
	__u8 ttl, protocol;
	__u16 check;
	__u32 source, destination;
};

struct ipv6 {
	__u32 first;
	__u16 payload_length;
	__u8 next_header, hop_limit;
	__u32 words[8];
};

struct frame4 {
	__u8 ethernet[ETH_HLEN];
	struct ipv4 ip;
} __attribute__((packed));

struct frame6 {
	__u8 ethernet[ETH_HLEN];
	struct ipv6 ip;
} __attribute__((packed));

/* --- the stamp --- */

INLINE int is_ip(const struct __sk_buff *skb)
{
	return skb->protocol == swap16(ETH_P_IP) || skb->protocol == swap16(ETH_P_IPV6);
}

/* Whether it is a superframe of UDP datagrams, and nothing else: SKB_GSO_UDP_L4 (skb_shinfo(), 64 bits). */
INLINE int is_udp_superframe(struct __sk_buff *skb)
{
	void *sk_buff = skb; /* the context of a classifier is the sk_buff itself */
	__u64 head = 0;
	__u32 end = 0, type = 0;

	if (probe_read_kernel(&head, sizeof(head), sk_buff + NUMBER(skb_head)) ||
	    probe_read_kernel(&end, sizeof(end), sk_buff + NUMBER(skb_end)) ||
	    probe_read_kernel(&type, sizeof(type), (void *)(head + end + NUMBER(gso_type))))
		return 0;
	return (type & ~GSO_DODGY) == GSO_UDP_L4;
}

/* A stamp that is there already is another domain's program's, a former interface's, or forged: it is written anew, and
 * keeps no packet from its pair. A copy that asks the rules stays one. */
INLINE int is_free(const struct __sk_buff *skb)
{
	return !skb->priority || ((skb->priority & ANY_MASK) == ANY && skb->priority != ASKING);
}

/* `number`: of a packet of a pair that waits; 0: it has none. */
INLINE void write_stamp(struct __sk_buff *skb, int always, __u32 number)
{
	__u32 size = skb->gso_size, fit = 0;

	if (skb->pkt_type != 0 || !is_ip(skb) || !is_free(skb))
		return;
	if (NUMBER(fit_udp) == 1 && (!size || is_udp_superframe(skb)))
		fit = FIT_UDP;
	if (number)
		skb->priority = NUMBERED | fit | (number & 0xffff);
	else if (always || size || fit)
		skb->priority = MAGIC | fit | size;
	else if (skb->priority)
		skb->priority = 0;
}

__attribute__((section("tc/stamp"), used)) int stamp(struct __sk_buff *skb)
{
	write_stamp(skb, 0, 0);
	return GOES_ON;
}

/* --- sums --- */

INLINE __u32 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

INLINE __u32 words_of(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

/* --- the offload --- */

struct packet {
	__u32 words[4];  /* the first 16 octets behind the IP header, in host order, as the identification needs them */
	__u32 size;      /* octets behind the IP header */
	__u16 check;     /* of the transport, as it stands */
	__u8 protocol, tos, ttl;
	__u8 doff;       /* octets of the transport's header */
	__u16 fragment;  /* IPv4, host order */
};

INLINE struct counts *own_counts(void)
{
	__u32 zero = 0;

	return map_lookup(&counts, &zero);
}

/* xlat/fragmentation4.py: the octets, as one number, modulo the largest prime below 2^16. */
INLINE __u32 residue(__u64 former, __u32 word)
{
	return ((former << 32) | word) % 65521;
}

INLINE __u32 identification(const struct packet *packet)
{
	__u32 value = residue(residue(packet->words[0], packet->words[1]), packet->words[2]);

	if (packet->protocol == IPPROTO_UDP)
		value = residue(value, packet->words[3]);
	return value + 1;
}

/* The decision is old: has it been judged anew? Else let a copy of the packet meet the rules, whose arrival in the queue
 * is the answer. Packet pointers are void behind it. */
INLINE void ask(struct __sk_buff *skb, struct pair *pair, const struct key *key, __u64 now)
{
	const __u64 *answer = map_lookup(&answers, key);

	if (answer && *answer > pair->judged) {
		pair->judged = *answer;
		return;
	}
	if (now < pair->asked + ASK_AGAIN)
		return;
	pair->asked = now;
	skb->mark = ASKING_MARK;
	clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	skb->mark = 0;
}

/* Whether all of a kind that took the queue are known to be out. Most often a time tells: what had been queued before it
 * is out, and a packet is on its way to the queue for so long at most. A flow whose packets come sooner after each other
 * never pauses for so long, so its packets bear numbers. A number tells only of packets that have one: of others, those
 * before the first one included, the time has to tell. */
INLINE int is_out(const struct lane *lane, const struct pair *pair, const struct key *key, __u64 drained, __u64 queued)
{
	const struct arrived *there;
	__u32 number;

	if (drained > queued + ON_THE_WAY)
		return 1;
	number = *(volatile const __u32 *)&lane->number;
	if (!number || drained <= lane->since + ON_THE_WAY || drained <= lane->whole + ON_THE_WAY)
		return 0;
	there = map_lookup(&arrived, key);
	return there && there->learnt == pair->learnt && there->numbers[lane == &pair->lanes[1]] == number;
}

/* Whether the packet has to take the queue since others of its kind do: GOES_ON, with its number; 0: no.
 *
 * A flow that is faster than the queue never finds it empty, and loses packets there all the time. Then the next ones are
 * lost here, for as long as it takes until those in the queue are out.
 */
INLINE int waits(struct lane *lane, const struct pair *pair, const struct key *key, const struct state *domain, __u64 now,
		 __u32 is_whole, enum outcome *why, __u32 *number)
{
	__u64 queued = lane->queued, exact;

	if (unlikely(lane->until)) {
		if (now < lane->until) {
			lane->queued = lane->since = ktime_get_ns();
			*why = DIVERTING;
			return GOES_ON;
		}
		lane->until = 0;
	}
	if (likely(queued == ACTIVE))
		return 0;
	*why = WAITING;
	/* Another processor may queue another flow of the pair meanwhile: then this is none but it. */
	if (queued && is_out(lane, pair, key, *(volatile const __u64 *)&domain->drained, queued) &&
	    __sync_val_compare_and_swap(&lane->queued, queued, ACTIVE) == queued)
		return 0;
	exact = ktime_get_ns();
	if (!queued)
		lane->since = exact;
	else if (exact > lane->since + PATIENCE && exact < queued + SECOND &&
		 *(volatile __u64 *)&domain->lost > lane->since) {
		*why = HELD;
		return DROPPED;
	}
	if (is_whole)
		lane->whole = exact;
	else
		*number = __sync_fetch_and_add(&lane->number, 1) + 1;
	lane->queued = exact; /* behind its number: who reads the one before sees either of them change */
	return GOES_ON;
}

/* What of UDP is not as its header says: a superframe of another kind, a sum that is unfinished in an inner header. */
INLINE int is_odd_udp(struct __sk_buff *skb, const struct packet *packet, const struct pair *pair, int *own_partial)
{
	__u8 octet = 0;

	if (NUMBER(udp) != 1)
		return 1;
	if (skb->gso_size && !is_udp_superframe(skb))
		return 1;
	*own_partial = fold(pair->old_sum + IPPROTO_UDP + packet->size) == packet->check;
	if (*own_partial)
		return 0;
	if (probe_read_kernel(&octet, sizeof(octet), (void *)skb + NUMBER(summed_at)))
		return 1;
	return ((octet >> NUMBER(summed_shift)) & 3) == SUMMED_PARTIAL;
}

INLINE void update_check(struct __sk_buff *skb, __u32 at, const struct packet *packet, __u16 delta, int by_value)
{
	__u64 flags = BPF_F_PSEUDO_HDR;
	__u32 sum;
	__u16 check;

	if (packet->protocol == IPPROTO_TCP) {
		l4_csum_replace(skb, at + 16, 0, swap16(delta), flags);
		return;
	}
	if (!by_value) {
		l4_csum_replace(skb, at + 6, 0, swap16(delta), flags | BPF_F_MARK_MANGLED_0);
		return;
	}
	/* RFC 1624 equation 3. The kernel's helper would take a complete sum and one of an inner header for the same. */
	sum = ~fold((packet->check ^ 0xffff) + delta) & 0xffff;
	check = swap16(sum ? sum : 0xffff);
	skb_store_bytes(skb, at + 6, &check, sizeof(check), BPF_F_RECOMPUTE_CSUM);
}

INLINE int to6(struct __sk_buff *skb, const struct state *domain, const struct pair *pair, const struct packet *packet, int by_value)
{
	struct frame6 frame;
	__u32 traffic_class = (packet->tos & pair->traffic_class >> 8) | (pair->traffic_class & 255);
	__u16 delta = pair->delta;

	__builtin_memcpy(frame.ethernet, domain->ethernet, 2 * ETH_ALEN);
	frame.ethernet[12] = ETH_P_IPV6 >> 8;
	frame.ethernet[13] = ETH_P_IPV6 & 255;
	frame.ip.first = swap32(0x60000000 | traffic_class << 20);
	frame.ip.payload_length = swap16((__u16)packet->size);
	frame.ip.next_header = packet->protocol;
	frame.ip.hop_limit = packet->ttl;
	__builtin_memcpy(frame.ip.words, pair->words, sizeof(frame.ip.words));
	if (skb_change_proto(skb, swap16(ETH_P_IPV6), 0))
		return -1;
	skb_store_bytes(skb, 0, frame.ethernet, ETH_HLEN, 0);
	skb_store_bytes(skb, ETH_HLEN, &frame.ip, sizeof(frame.ip), BPF_F_RECOMPUTE_CSUM);
	update_check(skb, ETH_HLEN + sizeof(struct ipv6), packet, delta, by_value);
	return 0;
}

INLINE int to4(struct __sk_buff *skb, const struct state *domain, const struct pair *pair, const struct packet *packet, int by_value)
{
	struct frame4 frame;
	__u32 total = packet->size + sizeof(struct ipv4), largest = total, sum;
	__u32 tos = (packet->tos & pair->traffic_class >> 8) | (pair->traffic_class & 255);
	__u32 number = 0, fragment = DF;
	__u16 delta = pair->delta;

	if (skb->gso_size && packet->doff + skb->gso_size < packet->size)
		largest = packet->doff + skb->gso_size + sizeof(struct ipv4);
	if (largest <= DF_THRESHOLD) {
		number = identification(packet);
		fragment = 0;
	}
	__builtin_memcpy(frame.ethernet, domain->ethernet, 2 * ETH_ALEN);
	frame.ethernet[12] = ETH_P_IP >> 8;
	frame.ethernet[13] = ETH_P_IP & 255;
	sum = 0x4500 + tos + total + number + fragment + (packet->ttl << 8 | packet->protocol) + pair->new_sum;
	frame.ip.version_ihl = 0x45;
	frame.ip.tos = tos;
	frame.ip.total_length = swap16((__u16)total);
	frame.ip.identification = swap16((__u16)number);
	frame.ip.fragment = swap16((__u16)fragment);
	frame.ip.ttl = packet->ttl;
	frame.ip.protocol = packet->protocol;
	frame.ip.check = swap16((__u16)~fold(sum));
	frame.ip.source = pair->words[0];
	frame.ip.destination = pair->words[1];
	if (skb_change_proto(skb, swap16(ETH_P_IP), 0))
		return -1;
	skb_store_bytes(skb, 0, frame.ethernet, ETH_HLEN, 0);
	skb_store_bytes(skb, ETH_HLEN, &frame.ip, sizeof(frame.ip), BPF_F_RECOMPUTE_CSUM);
	update_check(skb, ETH_HLEN + sizeof(struct ipv4), packet, delta, by_value);
	return 0;
}

/* The transport's header; 0 where there is none that we take. */
INLINE int read_transport(const __u8 *at, const void *end, struct packet *packet)
{
	const __u32 *words = (const void *)at;

	if ((const void *)(at + 8) > end)
		return 0;
	packet->words[0] = swap32(words[0]);
	packet->words[1] = swap32(words[1]);
	if (packet->protocol == IPPROTO_TCP) {
		if ((const void *)(at + 20) > end || packet->size < 20)
			return 0;
		packet->words[2] = swap32(words[2]);
		packet->doff = (at[12] >> 4) * 4;
		return packet->doff >= 20 && packet->doff <= packet->size;
	}
	packet->check = packet->words[1] & 0xffff;
	packet->words[1] &= ~0xffff;
	packet->doff = 8;
	packet->words[2] = packet->words[3] = 0;
	if (packet->size >= 16) {
		if ((const void *)(at + 16) > end)
			return 0;
		packet->words[2] = swap32(words[2]);
		packet->words[3] = swap32(words[3]);
	} else {
		__u64 rest = 0;
#pragma unroll
		for (__u32 index = 0; index < 7; index++) {
			rest <<= 8;
			if (packet->size > 8 + index) {
				if ((const void *)(at + 9 + index) > end)
					return 0;
				rest |= at[8 + index];
			}
		}
		rest <<= 8;
		packet->words[2] = rest >> 32;
		packet->words[3] = rest;
	}
	return packet->size >= 8 && packet->check;
}

INLINE int is_void(const struct pair *pair, const struct state *domain, __u64 now)
{
	return pair->generation != domain->generation ||
	       (!pair->by_flow && (now > pair->used + UNUSED || now > pair->judged + JUDGED));
}

INLINE int translate(struct __sk_buff *skb, __u32 *number)
{
	void *data, *end;
	const __u8 *transport, *ports;
	const struct state *domain;
	struct counts *own;
	struct pair *pair;
	struct lane *lane;
	struct key key = {};
	struct packet packet = {};
	enum outcome why = UNFIT;
	__u32 zero = 0, from6, sum, segment;
	__u64 now;
	int own_partial = 1, unfit = 0, diverts = 0, portless = 0, verdict = GOES_ON;

	if (skb->pkt_type != 0 || skb->vlan_present || skb->mark || !is_free(skb) || !is_ip(skb))
		return GOES_ON;
	from6 = skb->protocol == swap16(ETH_P_IPV6);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + ETH_HLEN + sizeof(struct ipv6) + 20 > end) {
		__u32 length = ETH_HLEN + sizeof(struct ipv6) + 20;

		if (skb->len < length)
			length = skb->len;
		if (data + length > end && skb_pull_data(skb, length))
			return GOES_ON;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
	}
	key.ifindex = skb->ifindex;
	if (from6) {
		const struct frame6 *frame = data;

		if ((void *)(frame + 1) > end)
			return GOES_ON;
		if (frame->ethernet[12] != ETH_P_IPV6 >> 8 || frame->ethernet[13] != (ETH_P_IPV6 & 255))
			return GOES_ON;
		__builtin_memcpy(key.words, frame->ip.words, sizeof(key.words));
	} else {
		const struct frame4 *frame = data;

		if ((void *)(frame + 1) > end)
			return GOES_ON;
		if (frame->ethernet[12] != ETH_P_IP >> 8 || frame->ethernet[13] != (ETH_P_IP & 255))
			return GOES_ON;
		key.words[0] = frame->ip.source;
		key.words[1] = frame->ip.destination;
	}
	own = own_counts();
	domain = map_lookup(&state, &zero);
	if (!own || !domain)
		return GOES_ON;
	pair = map_lookup(&pairs, &key);
	if (!pair) {
		own->of[from6][MISSED]++;
		return GOES_ON;
	}
	now = ktime_get_coarse_ns();
	if (now > domain->beat + DEAD || is_void(pair, domain, now)) {
		own->of[from6][STALE]++;
		return GOES_ON;
	}
	/* What only the core translates. Where others of its flow are translated here, these take the queue too. */
	if (from6) {
		const struct frame6 *frame = data;

		packet.protocol = frame->ip.next_header;
		packet.tos = swap32(frame->ip.first) >> 20;
		packet.ttl = frame->ip.hop_limit;
		packet.size = swap16(frame->ip.payload_length);
		ports = transport = (const void *)(frame + 1);
		if (packet.protocol == NEXT_FRAGMENT) {
			if ((void *)(transport + 8) > end || transport[0] != IPPROTO_UDP)
				goto unfit;
			packet.protocol = IPPROTO_UDP;
			portless = transport[2] | (transport[3] & 0xf8);
			ports = transport + 8;
			diverts = 1;
		} else if (skb->gso_size && (!packet.size || packet.size + sizeof(struct ipv4) > 0xffff)) { /* BIG TCP */
			if (packet.protocol == NEXT_HOP_BY_HOP) { /* the jumbo option, of older kernels */
				if ((void *)(transport + 8) > end)
					goto unfit;
				packet.protocol = transport[0];
				ports = transport + 8;
			}
			diverts = packet.protocol == IPPROTO_TCP;
		}
		unfit = swap32(frame->ip.first) >> 28 != 6 || packet.size + sizeof(struct ipv4) > 0xffff ||
			packet.size + sizeof(struct frame6) > skb->len;
	} else {
		const struct frame4 *frame = data;
		const __u32 *words = data + ETH_HLEN;

		packet.protocol = frame->ip.protocol;
		packet.tos = frame->ip.tos;
		packet.ttl = frame->ip.ttl;
		packet.size = swap16(frame->ip.total_length) - sizeof(struct ipv4);
		packet.fragment = swap16(frame->ip.fragment);
		ports = transport = (const void *)(frame + 1);
		portless = frame->ip.version_ihl != 0x45 || packet.fragment & 0x1fff;
		sum = words_of(words[0]) + words_of(words[1]) + words_of(words[2]) + words_of(words[3]) + words_of(words[4]);
		unfit = frame->ip.version_ihl != 0x45 || swap16(frame->ip.total_length) < sizeof(struct ipv4) ||
			packet.size + sizeof(struct frame4) > skb->len || fold(sum) != 0xffff;
		diverts = (packet.fragment & 0x3fff && packet.protocol == IPPROTO_UDP) ||
			  (skb->gso_size && !frame->ip.total_length && packet.protocol == IPPROTO_TCP); /* BIG TCP */
		unfit |= packet.fragment & ~DF;
	}
	if (packet.protocol != IPPROTO_TCP && packet.protocol != IPPROTO_UDP)
		goto unfit;
	if (pair->by_flow) {
		if (portless || (void *)(ports + 4) > end)
			goto unfit;
		key.ports = *(const __u32 *)ports;
		key.protocol = packet.protocol;
		pair = map_lookup(&pairs, &key);
		why = MISSED;
		if (!pair)
			goto unfit;
		why = STALE;
		if (is_void(pair, domain, now))
			goto unfit;
		why = UNFIT;
	}
	lane = &pair->lanes[packet.protocol == IPPROTO_UDP];
	if (diverts) {
		why = DIVERTING;
		goto diverts;
	}
	if (unfit || packet.ttl <= 1 || !read_transport(transport, end, &packet))
		goto unfit;
	if (packet.protocol == IPPROTO_UDP && is_odd_udp(skb, &packet, pair, &own_partial)) {
		if (!skb->gso_size)
			goto unfit;
		why = DIVERTING; /* datagrams of the flow that were not chained (rx-gro-list), or not in a tunnel's superframe */
		goto diverts;
	}
	if (!from6 && !packet.fragment) { /* DF=0: what does not fit is cut by the core */
		segment = packet.size;
		if (skb->gso_size && packet.doff + skb->gso_size < segment)
			segment = packet.doff + skb->gso_size;
		if (segment + sizeof(struct ipv6) > domain->lowest_ipv6_mtu) {
			why = DIVERTING;
			goto diverts;
		}
	}
	verdict = waits(lane, pair, &key, domain, now, skb->gso_size, &why, number);
	if (verdict)
		goto waits;
	pair->used = now;
	if (unlikely(now > pair->judged + ASK))
		ask(skb, pair, &key, now);
	if (from6 ? to4(skb, domain, pair, &packet, !own_partial) : to6(skb, domain, pair, &packet, !own_partial)) {
		why = FAILED;
		verdict = GOES_ON;
		goto diverts;
	}
	skb->priority = 0;
	pair->packets++;
	pair->octets += packet.size;
	own->of[from6][TRANSLATED]++;
	own->of[from6][OCTETS] += packet.size;
	own->of[from6][SEGMENTS] += skb->gso_size ? skb->gso_segs : 1;
	return redirect(domain->device, BPF_F_INGRESS);

diverts:
	lane->until = now + DIVERTED;
	lane->queued = lane->since = ktime_get_ns();
waits:
	pair->used = now;
unfit:
	own->of[from6][why]++;
	return verdict;
}

__attribute__((section("tc/offload"), used)) int offload(struct __sk_buff *skb)
{
	__u32 number = 0;
	int verdict;

	if (unlikely(skb->mark == ASKING_MARK)) {
		skb->mark = 0;
		skb->priority = ASKING;
		return GOES_ON;
	}
	verdict = translate(skb, &number);
	if (verdict == GOES_ON)
		write_stamp(skb, 1, number); /* rules note on it whether their decision may be repeated */
	return verdict;
}
