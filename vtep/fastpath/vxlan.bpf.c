// SPDX-License-Identifier: GPL-2.0-or-later
/* The fast path: forward known unicast between a port and the underlay inside the kernel.
 *
 * The agent's core decides where frames go and writes its decisions into the maps; this program
 * only carries them out. A frame goes to the agent, through a TAP interface, if the maps have no
 * answer for it or if it is unusual: floods, unknown or moved MACs, inner VLAN tags, reserved bits,
 * UDP checksums, frames that are too big. The program never drops a packet, so that every drop is
 * counted by the agent, with its reason.
 *
 *   from_port      on tc ingress of a port: encapsulate, send on the underlay interface
 *   from_underlay  on tc ingress of the underlay interface: check, decapsulate, send on the port
 *
 * Super-frames (GSO) and partial checksums (CHECKSUM_PARTIAL) are forwarded as they are.
 * Compiled once for each family of the underlay.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "frame.h"
#if UNDERLAY == 6
#include "outer6.h"
#else
#include "outer4.h"
#endif

#define FLAG_VNI_VALID bpf_htonl(0x08000000) /* RFC 7348 section 5 */

enum { ECN = 0x03, ECT_1 = 0x01, ECT_0 = 0x02, CE = 0x03 };

char LICENSE[] SEC("license") = "GPL";

/* -- from a port into the tunnel */

/* Bytes before the inner frame. `struct outer` ends with a copy of the inner Ethernet header. */
#define OVERHEAD (sizeof(struct outer) - sizeof(struct ethhdr))

static __always_inline void fill(struct outer *outer, struct inner *inner,
				 const struct address *remote, __u32 vni, __u32 length)
{
	__u16 octet = config.dscp == INHERIT ? inner->octet : config.dscp | (inner->octet & ECN);
	__u16 sport = config.first_source_port + inner->hash % (config.source_ports ?: 1);
	__u8 hops = config.ttl ? config.ttl : inner->hops;

	length += sizeof(outer->udp) + sizeof(outer->flags) + sizeof(outer->vni);
	outer->eth.h_proto = bpf_htons(OUTER_TYPE);
	fill_ip(outer, remote, octet, hops, length);
	outer->udp.source = bpf_htons(sport);
	outer->udp.dest = config.port;
	outer->udp.len = bpf_htons(length);
	outer->flags = FLAG_VNI_VALID;
	outer->vni = bpf_htonl(vni << 8);
}

#define ROOM_FLAGS                                                       \
	(BPF_F_ADJ_ROOM_FIXED_GSO | ENCAP_L3 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | \
	 BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr)))

/* Make room for the outer headers and write them. There are two ways:
 *
 * bpf_skb_change_head() puts the room before the frame and does not mark the packet as encapsulated,
 * so the kernel can encapsulate it again if a VM is itself a tunnel endpoint. But skb->protocol
 * stays that of the inner frame, so the families must be equal, and a super-frame could not be
 * segmented, because the kernel would not know of the inner headers.
 *
 * bpf_skb_adjust_room() puts the room behind the Ethernet header, sets skb->protocol, the inner
 * header offsets and the GSO type of a UDP tunnel. The kernel refuses it (-EALREADY) for a packet
 * that is already marked as encapsulated. The Ethernet header that was moved to the front becomes
 * the outer one, so the inner one is written again behind the VXLAN header. */
static __always_inline int encapsulate(struct __sk_buff *skb, struct outer *outer, __u16 type)
{
	if (type == OUTER_TYPE && !skb->gso_size) {
		if (bpf_skb_change_head(skb, OVERHEAD, 0))
			return -1;
		return bpf_skb_store_bytes(skb, 0, outer, OVERHEAD, 0);
	}
	if (bpf_skb_adjust_room(skb, OVERHEAD, BPF_ADJ_ROOM_MAC, ROOM_FLAGS))
		return -1;
	return bpf_skb_store_bytes(skb, 0, outer, sizeof(*outer), 0);
}

/* The number of the segment of a frame, by its port and its VLAN; 0 if there is none. */
static __always_inline __u32 segment_of(struct __sk_buff *skb, struct port *port)
{
	__u32 vlan = 0;
	__u64 *segment;

	if (skb->vlan_present) {
		vlan = skb->vlan_tci & 0xfff;
		if (!vlan) /* a priority tag (IEEE 802.1Q); the agent removes it */
			return 0;
	}
	vlan += port->first_vlan;
	segment = bpf_map_lookup_elem(&vlans, &vlan);
	return segment ? *segment : 0;
}

static __always_inline struct port *port_of(__u32 interface)
{
	__u32 at = interface & (config.ports - 1);
	struct port *port = bpf_map_lookup_elem(&ports, &at);

	return port && port->interface == interface ? port : NULL;
}

/* Make the headers of the frame that begins at `offset` readable, and return the packet's start.
 * Only the linear part of an skb can be read directly. bpf_skb_pull_data() copies bytes into it from
 * the page fragments, which hold the payload, so no more bytes than needed are requested. */
static __always_inline void *pulled(struct __sk_buff *skb, __u32 offset)
{
	__u32 need = offset + sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr);
	struct ethhdr *eth;

	if (skb->data_end - skb->data < need)
		bpf_skb_pull_data(skb, need < skb->len ? need : skb->len);
	eth = (void *)(long)skb->data + offset;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end || eth->h_proto != bpf_htons(ETH_P_IPV6))
		return (void *)(long)skb->data;
	need += sizeof(struct ipv6hdr) - sizeof(struct iphdr);
	if (skb->data_end - skb->data < need)
		bpf_skb_pull_data(skb, need < skb->len ? need : skb->len);
	return (void *)(long)skb->data;
}

/* Send on the underlay interface. The kernel resolves the next hop's MAC address. Without a next
 * hop from us it looks the destination up in the routing table. */
static __always_inline int to_remote(const struct remote *remote)
{
	struct bpf_redir_neigh next = neighbour(&remote->address);

	if (remote->flags & ON_LINK)
		return bpf_redirect_neigh(config.underlay, &next, sizeof(next), 0);
	return bpf_redirect_neigh(config.underlay, NULL, 0, 0);
}

SEC("tc")
int from_port(struct __sk_buff *skb)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> TICK_SHIFT, number, times, largest, length = skb->len;
	__u32 hop, tci;
	struct slot *slot, source, destination;
	struct inner inner = {};
	struct outer outer = {};
	struct segment *segment;
	struct remote *remote;
	struct ethhdr *eth;
	struct port *port;

	port = port_of(skb->ifindex);
	if (!port)
		return TC_ACT_OK;
	number = segment_of(skb, port);
	segment = bpf_map_lookup_elem(&segments, &number);
	if (config.paused || !number || !segment || !segment->port)
		goto agent;
	eth = pulled(skb, 0);
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
	fill(&outer, &inner, &remote->address, segment->vni, length);
	tci = skb->vlan_present ? skb->vlan_tci : 0;
	if (tci && bpf_skb_vlan_pop(skb))
		goto agent;
	if (encapsulate(skb, &outer, inner.type)) { /* already encapsulated: the agent can do it */
		if (tci)
			bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), tci);
		goto agent;
	}
	renew(slot, &source, now);
	count(segment->encapsulated, length, times, inner.headers);
	return to_remote(remote);
agent:
	return bpf_redirect(port->tap, 0);
}

/* -- from the tunnel to a port */

/* Whether a packet is a whole and valid VXLAN datagram for this host or for a group. Any other
 * packet is left to the kernel's IP stack, which reassembles fragments and drops broken packets. */
static __always_inline int is_vxlan(struct __sk_buff *skb, struct outer *outer, void *end)
{
	if ((void *)(&outer->udp + 1) > end || outer->eth.h_proto != bpf_htons(OUTER_TYPE))
		return 0;
	if (skb->vlan_present || outer->udp.dest != config.port || !is_udp(outer, skb->len))
		return 0;
	if (bpf_ntohs(outer->udp.len) + offsetof(struct outer, udp) != skb->len)
		return 0;
	return is_to_local(outer) ? skb->pkt_type == PACKET_HOST : is_to_group(outer);
}

/* RFC 6040 section 4.2: 0: leave the inner packet unchanged, 1: mark it CE, -1: to the agent.
 * bpf_skb_ecn_set_ce() looks at skb->protocol, which is the outer family's ethertype, so this
 * program can only mark inner packets of that family. */
static __always_inline int mark(struct inner *inner, __u8 octet)
{
	__u8 outside = octet & ECN, inside = inner->octet & ECN;

	if (outside == CE && inside != CE) {
		if (inside && inner->type == OUTER_TYPE)
			return 1;
		return -1; /* not ECN-capable: to be dropped; or of the other family */
	}
	return outside == ECT_1 && inside == ECT_0 ? -1 : 0;
}

/* Whether bpf_redirect_peer() may deliver the frame: it moves the packet to the other end of the
 * veth at once, without a receive queue. It does not call eth_type_trans() again, so skb->protocol
 * and skb->pkt_type stay those of the outer packet. They are right if both families are equal and the
 * destination is a station behind the port. */
static __always_inline int may_skip(struct segment *segment, struct inner *inner, __u64 key, __u32 now)
{
	struct slot copy;

	return segment->flags & PEER && inner->type == OUTER_TYPE && row_of(key, now, &copy) &&
	       copy.remote == 0;
}

SEC("tc")
int from_underlay(struct __sk_buff *skb)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> TICK_SHIFT, vni, number, hop, times, largest, length;
	struct segment *segment;
	struct inner inner = {};
	struct remote *remote;
	struct outer *outer;
	struct slot *slot, source, of_vni;
	struct ethhdr eth;
	void *end;
	int peer, marked;

	outer = pulled(skb, OVERHEAD);
	end = (void *)(long)skb->data_end;
	if (!is_vxlan(skb, outer, end))
		return TC_ACT_OK;
	if (config.paused || !is_to_local(outer) || outer->udp.check)
		goto agent;
	if ((void *)(outer + 1) > end || outer->flags != FLAG_VNI_VALID)
		goto agent;
	vni = bpf_ntohl(outer->vni);
	if (vni & 0xff)
		goto agent;
	vni >>= 8;
	if (!row_of(key_of_vni(vni), now, &of_vni))
		goto agent;
	number = of_vni.remote;
	segment = bpf_map_lookup_elem(&segments, &number);
	if (!segment || !segment->port)
		goto agent;
	if (look(&inner, &outer->inner, end, segment->flags))
		goto agent;
	marked = mark(&inner, octet_of(outer));
	if (marked < 0)
		goto agent;
	length = skb->len - OVERHEAD;
	times = pieces(length, skb->gso_size, inner.headers, &largest);
	if (largest > segment->largest_frame)
		goto agent;
	slot = row_of(key_of(outer->inner.h_source, number), now, &source);
	/* Do not fold this test into the one of `hop`. With `hop = slot ? source.remote : 0` and
	 * `if (!hop) goto agent`, `slot` cannot be NULL in renew(), but the verifiers of Linux 6.1 and
	 * 6.12 do not relate the two registers and reject the program. */
	if (!slot)
		goto agent;
	hop = source.remote;
	remote = bpf_map_lookup_elem(&remotes, &hop);
	if (!hop || !remote || !is_from(outer, &remote->address))
		goto agent;
	__builtin_memcpy(&eth, &outer->inner, sizeof(eth));
	peer = may_skip(segment, &inner, key_of(eth.h_dest, number), now);
	if (bpf_skb_adjust_room(skb, -(__s32)OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		goto agent;
	bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
	if (marked)
		bpf_skb_ecn_set_ce(skb);
	renew(slot, &source, now);
	count(segment->decapsulated, length, times, inner.headers);
	if (segment->vlan)
		bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), segment->vlan);
	return peer ? bpf_redirect_peer(segment->port, 0) : bpf_redirect(segment->port, 0);
agent:
	return bpf_redirect(config.underlay_tap, 0);
}
