// SPDX-License-Identifier: GPL-2.0-or-later
/* A look into a frame: what the fast path must know of it. Included once. */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#define FRAGMENT bpf_htons(0x3fff) /* more fragments, or an offset */

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
