// SPDX-License-Identifier: GPL-2.0-or-later
/* The outer headers on an IPv6 underlay. Either this file or outer4.h is included. */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define OUTER_TYPE ETH_P_IPV6
#define ENCAP_L3 BPF_F_ADJ_ROOM_ENCAP_L3_IPV6

struct outer {
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct udphdr udp;
	__be32 flags;
	__be32 vni;
	struct ethhdr inner; /* written only if bpf_skb_adjust_room() made the room, see encapsulate() */
} __attribute__((packed));

/* Write the IP header before `length` bytes of UDP header and data. It is accessed through `outer`,
 * which is packed: on the stack the IP header is at an offset that is no multiple of four, and the
 * verifier accepts only aligned stack accesses. For a packed structure clang writes bytes. */
static __always_inline void fill_ip(struct outer *outer, const struct address *remote, __u8 octet,
				    __u8 hops, __u32 length)
{
	outer->ip.version = 6;
	outer->ip.priority = octet >> 4;
	outer->ip.flow_lbl[0] = octet << 4;
	outer->ip.payload_len = bpf_htons(length);
	outer->ip.nexthdr = IPPROTO_UDP;
	outer->ip.hop_limit = hops;
	__builtin_memcpy(&outer->ip.saddr, &config.local, sizeof(outer->ip.saddr));
	__builtin_memcpy(&outer->ip.daddr, remote, sizeof(outer->ip.daddr));
}

static __always_inline __u8 octet_of(const struct outer *outer)
{
	return outer->ip.priority << 4 | outer->ip.flow_lbl[0] >> 4;
}

static __always_inline int same(const struct in6_addr *one, const struct address *other)
{
	const __be32 *word = one->in6_u.u6_addr32;

	return word[0] == other->word[0] && word[1] == other->word[1] &&
	       word[2] == other->word[2] && word[3] == other->word[3];
}

static __always_inline int is_from(const struct outer *outer, const struct address *remote)
{
	return same(&outer->ip.saddr, remote);
}

static __always_inline int is_to_local(const struct outer *outer)
{
	return same(&outer->ip.daddr, &config.local);
}

static __always_inline int is_to_group(const struct outer *outer)
{
	return outer->ip.daddr.in6_u.u6_addr8[0] == 0xff;
}

/* Source addresses that are left to the kernel to judge: multicast, and those that begin with 64
 * zero bits, which are the unspecified address, loopback and IPv4-mapped addresses (RFC 4291). */
static __always_inline int is_martian(const struct in6_addr *address)
{
	const __be32 *word = address->in6_u.u6_addr32;

	return address->in6_u.u6_addr8[0] == 0xff || !(word[0] | word[1]);
}

/* Whether a packet of `length` bytes is one whole UDP datagram without extension headers. */
static __always_inline int is_udp(const struct outer *outer, __u32 length)
{
	const struct ipv6hdr *ip = &outer->ip;

	if (ip->version != 6 || ip->nexthdr != IPPROTO_UDP || is_martian(&ip->saddr))
		return 0;
	return bpf_ntohs(ip->payload_len) + sizeof(*ip) + sizeof(outer->eth) == length;
}

static __always_inline struct bpf_redir_neigh neighbour(const struct address *remote)
{
	struct bpf_redir_neigh next = {.nh_family = 10 /* AF_INET6 */};

	__builtin_memcpy(next.ipv6_nh, remote, sizeof(next.ipv6_nh));
	return next;
}
