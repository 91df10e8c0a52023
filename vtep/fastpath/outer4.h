// SPDX-License-Identifier: GPL-2.0-or-later
/* The outer headers on an IPv4 underlay. Either this file or outer6.h is included. */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define OUTER_TYPE ETH_P_IP
#define ENCAP_L3 BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
#define DONT_FRAGMENT bpf_htons(0x4000)

struct outer {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	__be32 flags;
	__be32 vni;
	struct ethhdr inner; /* written only if bpf_skb_adjust_room() made the room, see encapsulate() */
} __attribute__((packed));

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

/* Write the IP header before `length` bytes of UDP header and data. It is accessed through `outer`,
 * which is packed: on the stack the IP header is at an offset that is no multiple of four, and the
 * verifier accepts only aligned stack accesses. For a packed structure clang writes bytes. */
static __always_inline void fill_ip(struct outer *outer, const struct address *remote, __u8 octet,
				    __u8 hops, __u32 length)
{
	outer->ip.version = 4;
	outer->ip.ihl = 5;
	outer->ip.tos = octet;
	outer->ip.tot_len = bpf_htons(length + sizeof(outer->ip));
	outer->ip.id = config.dont_fragment ? 0 : bpf_get_prandom_u32();
	outer->ip.frag_off = config.dont_fragment ? DONT_FRAGMENT : 0;
	outer->ip.ttl = hops;
	outer->ip.protocol = IPPROTO_UDP;
	outer->ip.saddr = config.local.word[0];
	outer->ip.daddr = remote->word[0];
	outer->ip.check = ~ip_sum(&outer->ip);
}

static __always_inline __u8 octet_of(const struct outer *outer)
{
	return outer->ip.tos;
}

static __always_inline int is_from(const struct outer *outer, const struct address *remote)
{
	return outer->ip.saddr == remote->word[0];
}

static __always_inline int is_to_local(const struct outer *outer)
{
	return outer->ip.daddr == config.local.word[0];
}

static __always_inline int is_to_group(const struct outer *outer)
{
	return (outer->ip.daddr & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000);
}

/* RFC 1812 section 5.3.7: an invalid source address; the kernel drops the packet. */
static __always_inline int is_martian(__be32 address)
{
	__u8 first = bpf_ntohl(address) >> 24;

	return first == 0 || first == 127 || first >= 224;
}

/* Whether a packet of `length` bytes is one whole UDP datagram with a valid IP header. */
static __always_inline int is_udp(const struct outer *outer, __u32 length)
{
	const struct iphdr *ip = &outer->ip;

	if (ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP || is_martian(ip->saddr))
		return 0;
	if (ip->frag_off & FRAGMENT || ip_sum(ip) != 0xffff)
		return 0;
	return bpf_ntohs(ip->tot_len) + sizeof(outer->eth) == length;
}

static __always_inline struct bpf_redir_neigh neighbour(const struct address *remote)
{
	return (struct bpf_redir_neigh){.nh_family = 2 /* AF_INET */, .ipv4_nh = remote->word[0]};
}
