// SPDX-License-Identifier: GPL-2.0-or-later
/* What comes before a frame on an IPv6 underlay. Included once, or outer4.h is. */
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
	struct ethhdr inner; /* copied where room is made behind it, not before it */
} __attribute__((packed));

/* The IP header before `length` bytes of UDP header and data. By way of `outer`, which is packed:
 * the verifier wants its fields, which lie at odd places of the stack, written as such. */
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

/* Groups, and what begins with 64 zeros (unspecified, loopback, mapped IPv4): for the kernel. */
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
