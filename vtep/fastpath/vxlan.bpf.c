// SPDX-License-Identifier: GPL-2.0-or-later
/* The fast path: known unicast between a port and the underlay, without leaving the kernel.
 *
 * It decides nothing. The agent's core decides, and writes what it decided into these maps; a
 * frame that the maps do not fully answer goes to the agent through a TAP, and so does all that is
 * odd: floods, unknown or moved MACs, tags inside, reserved bits, checksums, what does not fit.
 * What is dropped is dropped by the agent, under its name: this file never drops.
 *
 *   from_port      tc ingress of a port: encapsulate, and out by the underlay interface
 *   from_underlay  tc ingress of the underlay interface: check, decapsulate, and out by the port
 *
 * Super-frames and partial checksums pass whole. Layouts are those of layout.py.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define FLAG_VNI_VALID bpf_htonl(0x08000000) /* RFC 7348 section 5 */
#define TICK_SHIFT 24                        /* a tick is 2^24 ns, about 17 ms */
#define SLOTS 4                              /* of a bucket: one cache line */
#define INHERIT 0x100                        /* as dscp: the inner packet's */
#define ECN 0x03
#define ECN_CE 0x03
#define FRAGMENT bpf_htons(0x3fff)           /* more fragments, or an offset */
#define DONT_FRAGMENT bpf_htons(0x4000)

enum { PERMANENT = 1 };  /* flags of a slot: no ageing */
enum { SUPPRESS = 1 };   /* flags of a segment: the agent wants to see ARP and ND */

struct config {
	__u64 multiplier[2];    /* of the two hash functions, odd */
	__u32 bucket_shift;     /* 64 - log2(buckets) */
	__u32 paused;           /* everything goes to the agent */
	__u32 ageing;           /* ticks */
	__u32 underlay;         /* interface index */
	__u32 underlay_tap;     /* interface index */
	__u32 largest_frame;    /* inner bytes that fit the underlay */
	__be32 local;           /* IPv4 */
	__be16 port;            /* UDP destination port */
	__u16 first_source_port;
	__u32 source_ports;     /* how many */
	__u16 ttl;              /* 0: the inner packet's */
	__u16 dscp;             /* in its place in the octet, or INHERIT */
	__u32 dont_fragment;
} config;

struct slot {               /* where a MAC of a segment is */
	__u64 key;              /* MAC (6 bytes), segment (2 bytes); 0: free */
	__u32 seen;             /* tick of the last received frame */
	__u16 remote;           /* 0: local, behind the segment's port */
	__u16 flags;
};

struct bucket {
	struct slot slots[SLOTS];
};

struct remote {
	__be32 address;
	__u32 unused;           /* the kernel rounds up to eight bytes */
};

struct segment {
	__u32 vni;
	__u32 port;             /* interface index; 0: no segment here */
	__u32 largest_frame;    /* that the port takes */
	__u16 vlan;             /* of the port; 0: untagged */
	__u16 flags;
	__u64 encapsulated[2];  /* packets, bytes: unicast of the fast path */
	__u64 decapsulated[2];
};

struct port {
	__u32 first_vlan;       /* where its VLANs begin in `vlans` */
	__u32 tap;              /* interface index */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct remote);
} remotes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct segment);
} segments SEC(".maps");

struct {                    /* VLAN of a port -> segment; 0: none */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} vlans SEC(".maps");

struct {                    /* VNI -> segment */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} vnis SEC(".maps");

struct {                    /* interface index -> port */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct port);
} ports SEC(".maps");

/* -- the table */

static __always_inline __u64 key_of(const unsigned char *mac, __u32 segment)
{
	return (__u64)segment << 48 | (__u64) * (__u16 *)(mac + 4) << 32 | *(__u32 *)mac;
}

static __always_inline struct slot *in_bucket(__u64 key, __u64 multiplier)
{
	__u32 number = key * multiplier >> config.bucket_shift;
	struct bucket *bucket = bpf_map_lookup_elem(&rows, &number);

	if (!bucket)
		return NULL;
#pragma unroll
	for (int i = 0; i < SLOTS; i++)
		if (bucket->slots[i].key == key)
			return &bucket->slots[i];
	return NULL;
}

/* A copy of the row of a MAC; 0 if there is none, or none that was seen lately. */
static __always_inline struct slot *row_of(__u64 key, __u32 now, struct slot *copy)
{
	struct slot *slot = in_bucket(key, config.multiplier[0]);

	if (!slot)
		slot = in_bucket(key, config.multiplier[1]);
	if (!slot)
		return NULL;
	*copy = *(volatile struct slot *)slot;
	if (*(volatile __u64 *)&slot->key != key) /* given to another MAC meanwhile */
		return NULL;
	if (!(copy->flags & PERMANENT) && (__s32)(now - copy->seen) > (__s32)config.ageing)
		return NULL;
	return slot;
}

static __always_inline void renew(struct slot *slot, struct slot *copy, __u32 now)
{
	if (copy->seen != now)
		slot->seen = now;
}

/* -- the inner frame */

struct inner {
	__u32 headers;   /* Ethernet, IP and transport: what each piece of a super-frame repeats */
	__u32 hash;      /* one for one flow, the agent's */
	__u16 type;      /* ethertype, host order */
	__u8 octet;      /* traffic class */
	__u8 hops;       /* TTL or hop limit */
	__u8 protocol;
};

/* CRC-32 (IEEE 802.3), by half bytes: the agent's zlib.crc32 */
static const __u32 crc_table[16] = {
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
	0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
	0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

static __always_inline __u32 crc_byte(__u32 crc, __u8 byte)
{
	crc ^= byte;
	crc = crc >> 4 ^ crc_table[crc & 15];
	return crc >> 4 ^ crc_table[crc & 15];
}

static __always_inline __u32 crc_bytes(__u32 crc, const __u8 *bytes, int length)
{
#pragma unroll
	for (int i = 0; i < length; i++)
		crc = crc_byte(crc, bytes[i]);
	return crc;
}

/* The transport header, whose offset varies: ports into the hash, its length to the headers. */
static __always_inline int look_transport(struct inner *inner, void *at, void *end, __u32 *crc)
{
	struct tcphdr *tcp = at;
	__u32 ports;

	asm volatile("" : "+r"(at)); /* one pointer, for the verifier to know its bounds */
	if (at + sizeof(*tcp) <= end) {
		tcp = at;
		ports = *(__u32 *)at;
		inner->headers += inner->protocol == IPPROTO_TCP ? tcp->doff * 4 : 8;
	} else if (at + sizeof(struct udphdr) <= end && inner->protocol == IPPROTO_UDP) {
		ports = *(__u32 *)at;
		inner->headers += sizeof(struct udphdr);
	} else {
		return -1;
	}
	*crc = crc_bytes(*crc, (__u8 *)&ports, 4);
	return 0;
}

static __always_inline int look_ipv4(struct inner *inner, struct ethhdr *eth, void *end)
{
	struct iphdr *ip = (void *)(eth + 1);
	__u32 crc = ~0, length;

	if ((void *)(ip + 1) > end || ip->ihl < 5)
		return -1;
	length = ip->ihl * 4;
	inner->octet = ip->tos;
	inner->hops = ip->ttl;
	inner->protocol = ip->protocol;
	inner->headers = sizeof(*eth) + length;
	crc = crc_bytes(crc, (__u8 *)&ip->saddr, 8);
	crc = crc_byte(crc, ip->protocol);
	if ((ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) && !(ip->frag_off & FRAGMENT))
		if (look_transport(inner, (void *)ip + length, end, &crc))
			return -1;
	inner->hash = ~crc;
	return 0;
}

static __always_inline int look_ipv6(struct inner *inner, struct ethhdr *eth, void *end)
{
	struct ipv6hdr *ip = (void *)(eth + 1);
	__u32 crc = ~0;

	if ((void *)(ip + 1) > end)
		return -1;
	inner->octet = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	inner->hops = ip->hop_limit;
	inner->protocol = ip->nexthdr;
	inner->headers = sizeof(*eth) + sizeof(*ip);
	crc = crc_bytes(crc, (__u8 *)&ip->saddr, 32);
	crc = crc_byte(crc, ip->nexthdr);
	if (ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP)
		if (look_transport(inner, ip + 1, end, &crc))
			return -1;
	inner->hash = ~crc;
	return 0;
}

/* What the fast path must know of a frame; not 0: it is for the agent. */
static __always_inline int look(struct inner *inner, struct ethhdr *eth, void *end, __u16 flags)
{
	inner->type = bpf_ntohs(eth->h_proto);
	if (inner->type == ETH_P_IP)
		return look_ipv4(inner, eth, end);
	if (inner->type != ETH_P_IPV6 || look_ipv6(inner, eth, end))
		return -1; /* ARP among them: rare, and the kernel's helpers know IP only */
	return flags & SUPPRESS && inner->protocol == IPPROTO_ICMPV6;
}

/* The frame of `length` bytes as it will be on the wire: its pieces, and the size of the largest. */
static __always_inline __u32 pieces(__u32 length, __u32 gso_size, __u32 headers, __u32 *largest)
{
	*largest = length;
	if (!gso_size || length <= headers)
		return 1;
	*largest = headers + gso_size;
	return (length - headers + gso_size - 1) / gso_size;
}

static __always_inline void count(__u64 *way, __u32 length, __u32 times, __u32 headers)
{
	__sync_fetch_and_add(&way[0], times);
	__sync_fetch_and_add(&way[1], length + (times - 1) * headers);
}

/* -- from a port into the tunnel */

struct outer {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	__be32 flags;
	__be32 vni;
	struct ethhdr inner; /* copied where room is made behind it, not before it */
} __attribute__((packed));

#define OVERHEAD (sizeof(struct outer) - sizeof(struct ethhdr))

static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u16 ip_sum(const struct iphdr *ip)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	return folded(sum);
}

static __always_inline void fill(struct outer *outer, struct inner *inner, __be32 remote,
				 __u32 vni, __u32 length)
{
	__u16 octet = config.dscp == INHERIT ? inner->octet : config.dscp | (inner->octet & ECN);
	__u16 sport = config.first_source_port + inner->hash % (config.source_ports ?: 1);

	outer->eth.h_proto = bpf_htons(ETH_P_IP);
	outer->ip.version = 4;
	outer->ip.ihl = 5;
	outer->ip.tos = octet;
	outer->ip.tot_len = bpf_htons(length + OVERHEAD - sizeof(struct ethhdr));
	outer->ip.id = config.dont_fragment ? 0 : bpf_get_prandom_u32();
	outer->ip.frag_off = config.dont_fragment ? DONT_FRAGMENT : 0;
	outer->ip.ttl = config.ttl ? config.ttl : inner->hops;
	outer->ip.protocol = IPPROTO_UDP;
	outer->ip.saddr = config.local;
	outer->ip.daddr = remote;
	outer->ip.check = ~ip_sum(&outer->ip);
	outer->udp.source = bpf_htons(sport);
	outer->udp.dest = config.port;
	outer->udp.len = bpf_htons(length + sizeof(struct udphdr) + 8);
	outer->flags = FLAG_VNI_VALID;
	outer->vni = bpf_htonl(vni << 8);
}

#define ROOM_FLAGS                                                                             \
	(BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | \
	 BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr)))

/* Two ways to make room. Before the frame leaves no trace in the packet, so a VM may route it into
 * a tunnel again, but the kernel then takes the outer packet for one of the inner protocol. Behind
 * the Ethernet header tells the kernel of the tunnel, which super-frames need. */
static __always_inline int encapsulate(struct __sk_buff *skb, struct outer *outer, __u16 type)
{
	if (type == ETH_P_IP && !skb->gso_size) {
		if (bpf_skb_change_head(skb, OVERHEAD, 0))
			return -1;
		return bpf_skb_store_bytes(skb, 0, outer, OVERHEAD, 0);
	}
	if (bpf_skb_adjust_room(skb, OVERHEAD, BPF_ADJ_ROOM_MAC, ROOM_FLAGS))
		return -1;
	return bpf_skb_store_bytes(skb, 0, outer, sizeof(*outer), 0);
}

/* The segment of a frame: of its VLAN of its port. 0 is none: segments count from 1. */
static __always_inline __u32 segment_of(struct __sk_buff *skb, struct port *port)
{
	__u32 vlan = 0;
	__u64 *segment;

	if (skb->vlan_present) {
		vlan = skb->vlan_tci & 0xfff;
		if (!vlan)
			return 0;
	}
	vlan += port->first_vlan;
	segment = bpf_map_lookup_elem(&vlans, &vlan);
	return segment ? *segment : 0;
}

static __always_inline void *pulled(struct __sk_buff *skb, __u32 length)
{
	if (skb->data_end - skb->data < length)
		bpf_skb_pull_data(skb, length < skb->len ? length : skb->len);
	return (void *)(long)skb->data;
}

SEC("tc")
int from_port(struct __sk_buff *skb)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> TICK_SHIFT, number, times, largest, length = skb->len;
	__u32 ifindex = skb->ifindex, hop, tci;
	struct slot *slot, source, destination;
	struct inner inner = {};
	struct outer outer = {};
	struct segment *segment;
	struct remote *remote;
	struct ethhdr *eth;
	struct port *port;

	port = bpf_map_lookup_elem(&ports, &ifindex);
	if (!port)
		return TC_ACT_OK;
	number = segment_of(skb, port);
	segment = bpf_map_lookup_elem(&segments, &number);
	if (config.paused || !number || !segment || !segment->port)
		goto agent;
	eth = pulled(skb, 14 + 40 + 20);
	if ((void *)(eth + 1) > (void *)(long)skb->data_end || eth->h_dest[0] & 1)
		goto agent;
	if (look(&inner, eth, (void *)(long)skb->data_end, segment->flags))
		goto agent;
	times = pieces(length, skb->gso_size, inner.headers, &largest);
	if (largest > config.largest_frame || length + OVERHEAD > 65535)
		goto agent;
	slot = row_of(key_of(eth->h_source, number), now, &source);
	if (!slot || source.remote || !row_of(key_of(eth->h_dest, number), now, &destination))
		goto agent;
	hop = destination.remote;
	remote = bpf_map_lookup_elem(&remotes, &hop);
	if (!hop || !remote)
		goto agent;
	__builtin_memcpy(&outer.inner, eth, sizeof(*eth));
	fill(&outer, &inner, remote->address, segment->vni, length);
	tci = skb->vlan_present ? skb->vlan_tci : 0;
	if (tci && bpf_skb_vlan_pop(skb))
		goto agent;
	if (encapsulate(skb, &outer, inner.type)) { /* it came out of a tunnel, see there */
		if (tci)
			bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), tci);
		goto agent;
	}
	renew(slot, &source, now);
	count(segment->encapsulated, length, times, inner.headers);
	return bpf_redirect_neigh(config.underlay, NULL, 0, 0);
agent:
	return bpf_redirect(port->tap, 0);
}

/* -- from the tunnel to a port */

/* Whether a received packet is whole VXLAN over IPv4 to here; what is not goes up the kernel's own
 * stack, which puts fragments together and drops what is broken. */
static __always_inline int is_vxlan(struct __sk_buff *skb, struct outer *outer, void *end)
{
	struct iphdr *ip = &outer->ip;

	if ((void *)(&outer->udp + 1) > end || outer->eth.h_proto != bpf_htons(ETH_P_IP))
		return 0;
	if (ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return 0;
	if (outer->udp.dest != config.port || ip->frag_off & FRAGMENT || ip_sum(ip) != 0xffff)
		return 0;
	if (bpf_ntohs(ip->tot_len) + sizeof(outer->eth) != skb->len)
		return 0;
	if (bpf_ntohs(outer->udp.len) + sizeof(*ip) != bpf_ntohs(ip->tot_len))
		return 0;
	if (ip->daddr == config.local)
		return skb->pkt_type == PACKET_HOST;
	return (ip->daddr & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000);
}

/* RFC 6040 section 4.2, as far as it leaves the inner packet alone or marks it. */
static __always_inline int mark(struct __sk_buff *skb, struct inner *inner, __u8 octet)
{
	__u8 outside = octet & ECN, inside = inner->octet & ECN;

	if (!outside || inside == ECN_CE || (inside == outside) || (outside == 2))
		return 0;
	if (!inside)
		return outside == ECN_CE ? -1 : 0;
	if (outside == 1)
		return inside == 2 ? -1 : 0;
	return -1; /* a mark to be made: the agent does, and mends the checksum */
}

SEC("tc")
int from_underlay(struct __sk_buff *skb)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> TICK_SHIFT, vni, hop, times, largest, length;
	struct segment *segment;
	struct inner inner = {};
	struct remote *remote;
	struct outer *outer;
	struct slot *slot, source;
	struct ethhdr eth;
	__u32 *number;
	__be32 sender;
	void *end;

	outer = pulled(skb, sizeof(*outer) + 40 + 20);
	end = (void *)(long)skb->data_end;
	if (!is_vxlan(skb, outer, end))
		return TC_ACT_OK;
	if (config.paused || outer->ip.daddr != config.local || outer->udp.check)
		goto agent;
	if ((void *)(outer + 1) > end || outer->flags != FLAG_VNI_VALID)
		goto agent;
	vni = bpf_ntohl(outer->vni);
	if (vni & 0xff)
		goto agent;
	vni >>= 8;
	number = bpf_map_lookup_elem(&vnis, &vni);
	if (!number)
		goto agent;
	segment = bpf_map_lookup_elem(&segments, number);
	if (!segment || !segment->port)
		goto agent;
	if (look(&inner, &outer->inner, end, segment->flags) || mark(skb, &inner, outer->ip.tos))
		goto agent;
	length = skb->len - OVERHEAD;
	times = pieces(length, skb->gso_size, inner.headers, &largest);
	if (largest > segment->largest_frame)
		goto agent;
	slot = row_of(key_of(outer->inner.h_source, *number), now, &source);
	hop = slot ? source.remote : 0;
	remote = bpf_map_lookup_elem(&remotes, &hop);
	sender = outer->ip.saddr;
	if (!hop || !remote || remote->address != sender)
		goto agent;
	__builtin_memcpy(&eth, &outer->inner, sizeof(eth));
	if (bpf_skb_adjust_room(skb, -(__s32)OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		goto agent;
	bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
	renew(slot, &source, now);
	count(segment->decapsulated, length, times, inner.headers);
	if (segment->vlan)
		bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), segment->vlan);
	return bpf_redirect(segment->port, 0);
agent:
	return bpf_redirect(config.underlay_tap, 0);
}
