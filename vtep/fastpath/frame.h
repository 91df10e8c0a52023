// SPDX-License-Identifier: GPL-2.0-or-later
/* Parse the headers of an inner frame, as far as the fast path needs them. Included once. */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#define FRAGMENT bpf_htons(0x3fff) /* RFC 791: MF flag and fragment offset */

struct inner {
	__u32 headers;   /* bytes of Ethernet, IP and transport headers, repeated in each GSO segment */
	__u32 hash;      /* of the flow; equal to the agent's flow_hash() */
	__u16 type;      /* ethertype, host order */
	__u8 octet;      /* TOS or traffic class */
	__u8 hops;       /* TTL or hop limit */
	__u8 protocol;
};

#define FLOW_MULTIPLIER 0x9e3779b97f4a7c15ULL

/* One step of the flow hash; the same as `_mixed` in vtep/ethernet.py */
static __always_inline __u64 mixed(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * FLOW_MULTIPLIER;
	return hash ^ hash >> 32;
}

static __always_inline __u32 flow_hash(__u8 protocol, __u32 ports, const void *addresses, int words)
{
	__u64 hash = mixed(0, protocol | (__u64)ports << 8);

#pragma unroll
	for (int i = 0; i < words; i++)
		hash = mixed(hash, ((const __u64 *)addresses)[i]);
	return hash;
}

/* Read the ports and add the transport header's length to `headers`. Not 0: cut short. */
static __always_inline int look_transport(struct inner *inner, void *at, void *end, __u32 *ports)
{
	struct tcphdr *tcp = at;

	/* The offset of `at` is variable. The verifier attaches the bounds of a check to one register,
	 * so the compiler must not compute the pointer again in another one after the check. */
	asm volatile("" : "+r"(at));
	if (at + sizeof(*tcp) <= end) {
		tcp = at;
		*ports = *(__u32 *)at;
		inner->headers += inner->protocol == IPPROTO_TCP ? tcp->doff * 4 : 8;
	} else if (at + sizeof(struct udphdr) <= end && inner->protocol == IPPROTO_UDP) {
		*ports = *(__u32 *)at;
		inner->headers += sizeof(struct udphdr);
	} else {
		return -1;
	}
	return 0;
}

static __always_inline int look_ipv4(struct inner *inner, struct ethhdr *eth, void *end)
{
	struct iphdr *ip = (void *)(eth + 1);
	__u32 ports = 0, length;

	if ((void *)(ip + 1) > end || ip->ihl < 5)
		return -1;
	length = ip->ihl * 4;
	inner->octet = ip->tos;
	inner->hops = ip->ttl;
	inner->protocol = ip->protocol;
	inner->headers = sizeof(*eth) + length;
	if ((ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) && !(ip->frag_off & FRAGMENT))
		if (look_transport(inner, (void *)ip + length, end, &ports))
			return -1;
	inner->hash = flow_hash(ip->protocol, ports, &ip->saddr, 1);
	return 0;
}

static __always_inline int look_ipv6(struct inner *inner, struct ethhdr *eth, void *end)
{
	struct ipv6hdr *ip = (void *)(eth + 1);
	__u32 ports = 0;

	if ((void *)(ip + 1) > end)
		return -1;
	inner->octet = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	inner->hops = ip->hop_limit;
	inner->protocol = ip->nexthdr;
	inner->headers = sizeof(*eth) + sizeof(*ip);
	if (ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP)
		if (look_transport(inner, ip + 1, end, &ports))
			return -1;
	inner->hash = flow_hash(ip->nexthdr, ports, &ip->saddr, 4);
	return 0;
}

/* Parse a frame. Not 0: it is for the agent. */
static __always_inline int look(struct inner *inner, struct ethhdr *eth, void *end, __u16 flags)
{
	inner->type = bpf_ntohs(eth->h_proto);
	if (inner->type == ETH_P_IP)
		return look_ipv4(inner, eth, end);
	if (inner->type != ETH_P_IPV6 || look_ipv6(inner, eth, end))
		return -1; /* ARP and others: bpf_skb_adjust_room() accepts only IP packets */
	return flags & SUPPRESS && inner->protocol == IPPROTO_ICMPV6;
}

/* The number of packets that a frame becomes when it is segmented, and the size of the largest. */
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
