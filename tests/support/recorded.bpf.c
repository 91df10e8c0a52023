// SPDX-License-Identifier: GPL-2.0-or-later
/* The fast path's program for packet-level tests (BPF_PROG_RUN): the same source, with the helper
 * calls recorded whose effect is not visible in the packet that a test run returns. A test run
 * carries out no redirection, and it returns a packet without its VLAN tag, because the kernel keeps
 * the tag in the metadata of the packet. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { REDIRECT = 1, REDIRECT_NEIGH = 2, REDIRECT_PEER = 3 };

/* Read and written by tests/support/prog_run.py. A section of its own: .bss is the program's. */
struct {
	__u32 redirect;         /* one of the above, 0: none */
	__u32 interface;        /* where it goes to */
	__u32 family;           /* of the next hop; 0: the kernel is to route */
	__u8 next_hop[16];
	__u32 pushed;           /* 1 + the last VLAN tag that was pushed */
	__u32 popped;           /* how many tags were popped */
	__u32 room_calls;
	__s32 room;             /* arguments of the last bpf_skb_adjust_room() */
	__u32 mode;
	__u32 imitate_room;     /* set by the test: succeed without changing the packet */
	__u64 room_flags;
} recorded SEC(".data.recorded");

static __always_inline long record_redirect(__u32 interface, __u64 flags)
{
	recorded.redirect = REDIRECT;
	recorded.interface = interface;
	return bpf_redirect(interface, flags);
}

static __always_inline long record_redirect_peer(__u32 interface, __u64 flags)
{
	recorded.redirect = REDIRECT_PEER;
	recorded.interface = interface;
	return bpf_redirect_peer(interface, flags);
}

static __always_inline long record_redirect_neigh(__u32 interface, struct bpf_redir_neigh *next,
						  int length, __u64 flags)
{
	recorded.redirect = REDIRECT_NEIGH;
	recorded.interface = interface;
	if (next) {
		recorded.family = next->nh_family;
		__builtin_memcpy(recorded.next_hop, next->ipv6_nh, sizeof(recorded.next_hop));
	}
	return bpf_redirect_neigh(interface, next, length, flags);
}

static __always_inline long record_push(struct __sk_buff *skb, __be16 protocol, __u16 tci)
{
	recorded.pushed = 1 + tci;
	return bpf_skb_vlan_push(skb, protocol, tci);
}

static __always_inline long record_pop(struct __sk_buff *skb)
{
	recorded.popped++;
	return bpf_skb_vlan_pop(skb);
}

/* A test run can set the size of a packet's segments but not their protocol, without which the
 * kernel refuses to change the packet. Tests of such packets let the call succeed. */
static __always_inline long record_room(struct __sk_buff *skb, __s32 room, __u32 mode, __u64 flags)
{
	recorded.room_calls++;
	recorded.room = room;
	recorded.mode = mode;
	recorded.room_flags = flags;
	return recorded.imitate_room ? 0 : bpf_skb_adjust_room(skb, room, mode, flags);
}

#define bpf_redirect record_redirect
#define bpf_redirect_peer record_redirect_peer
#define bpf_redirect_neigh record_redirect_neigh
#define bpf_skb_vlan_push record_push
#define bpf_skb_vlan_pop record_pop
#define bpf_skb_adjust_room record_room
#include "vxlan.bpf.c"
#undef bpf_skb_vlan_push

/* Prepare a packet before the program runs. The input of a test run can have no VLAN tag, which is
 * pushed here if cb[0] is set: 1 + TCI. And newer kernels reject an input that is shorter than its
 * IP header, so a packet is cut short here if cb[1] is set: the length to keep. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, int(void *));
} programs SEC(".maps") = {
	.values = { [0] = (void *)&from_port, [1] = (void *)&from_underlay },
};

static __always_inline int prepare(struct __sk_buff *skb, __u32 program)
{
	if (skb->cb[0] && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), skb->cb[0] - 1))
		return -1;
	if (skb->cb[1] && bpf_skb_change_tail(skb, skb->cb[1], 0))
		return -1;
	bpf_tail_call(skb, &programs, program);
	return -1;
}

SEC("tc")
int prepared_from_port(struct __sk_buff *skb)
{
	return prepare(skb, 0);
}

SEC("tc")
int prepared_from_underlay(struct __sk_buff *skb)
{
	return prepare(skb, 1);
}
