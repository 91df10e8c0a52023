// SPDX-License-Identifier: GPL-2.0-or-later
/* The maps that agent and program share. layout.py has the same layouts. Included once. */
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define TICK_SHIFT 24                        /* a tick is 2^24 ns, about 17 ms */
#define SLOTS 4                              /* slots in a bucket, which is one cache line */
#define INHERIT 0x100                        /* value of dscp: use the inner packet's */
#define OF_VNI 0xffff                        /* segment of a key that is a VNI, not a MAC */

enum { PERMANENT = 1 };  /* flags of a slot: it does not age */
enum { ON_LINK = 1 };    /* flags of a remote: no router in between */
enum {                   /* flags of a segment */
	SUPPRESS = 1,    /* the agent answers ARP and ND, so they go to it */
	PEER = 2,        /* the port is a veth whose other end is in another namespace */
};

struct address {            /* IPv6; or IPv4, padded with zeros */
	__be32 word[4];
};

struct config {
	__u64 multiplier[2];    /* of the two hash functions, odd */
	__u32 bucket_shift;     /* 64 - log2(buckets) */
	__u32 paused;           /* send everything to the agent */
	__u32 ageing;           /* ticks */
	__u32 underlay;         /* interface index */
	__u32 underlay_tap;     /* interface index */
	__u32 largest_frame;    /* bytes of inner frame that fit the MTU of the underlay */
	struct address local;
	__be16 port;            /* UDP destination port */
	__u16 first_source_port;
	__u32 source_ports;     /* number of source ports */
	__u16 ttl;              /* 0: use the inner packet's */
	__u16 dscp;             /* as in the TOS octet (shifted by two), or INHERIT */
	__u32 dont_fragment;
	__u32 ports;            /* entries of `ports`, a power of two */
} config;

struct slot {               /* the location of a MAC in a segment; or the segment of a VNI */
	__u64 key;              /* MAC (6 bytes) and segment (2 bytes), or VNI and OF_VNI; 0: free */
	__u32 seen;             /* tick of the last received frame */
	__u16 remote;           /* number of the remote, 0: local port; for a VNI its segment */
	__u16 flags;
};

struct bucket {
	struct slot slots[SLOTS];
};

struct remote {
	struct address address;
	__u32 flags;
	__u32 unused;           /* values of an array map are padded to multiples of 8 bytes */
};

struct segment {
	__u32 vni;
	__u32 port;             /* interface index; 0: this entry is unused */
	__u32 largest_frame;    /* bytes that fit the MTU of the port */
	__u16 vlan;             /* of the port; 0: untagged */
	__u16 flags;
	__u64 encapsulated[2];  /* packets and bytes that this program forwarded */
	__u64 decapsulated[2];
};

struct port {
	__u32 interface;        /* index */
	__u32 first_vlan;       /* index of its VLAN 0 in `vlans` */
	__u32 tap;              /* interface index */
	__u32 unused;
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

struct {                    /* VLAN of a port -> number of the segment; 0: none */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} vlans SEC(".maps");

struct {                    /* index: low bits of the interface index, unique among the ports */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct port);
} ports SEC(".maps");

_Static_assert(sizeof(struct bucket) == 64, "layout.BUCKET_LENGTH");
_Static_assert(sizeof(struct remote) == 24, "layout.REMOTE");
_Static_assert(sizeof(struct segment) == 48, "layout.SEGMENT_LENGTH");
_Static_assert(offsetof(struct segment, encapsulated) == 16, "layout.SEGMENT_COUNTERS_AT");
_Static_assert(sizeof(struct port) == 16, "layout.PORT");
_Static_assert(offsetof(struct config, paused) == 20, "layout.PAUSED_AT");
_Static_assert(offsetof(struct config, ports) == 72, "layout.CONFIG");

/* -- the table */

static __always_inline __u64 key_of(const unsigned char *mac, __u32 segment)
{
	return (__u64)segment << 48 | (__u64) * (__u16 *)(mac + 4) << 32 | *(__u32 *)mac;
}

static __always_inline __u64 key_of_vni(__u32 vni)
{
	return (__u64)OF_VNI << 48 | vni;
}

static __always_inline struct slot *in_bucket(__u64 key, __u64 multiplier)
{
	__u64 mixed = key * multiplier;
	__u32 number = (mixed ^ mixed >> 32) * multiplier >> config.bucket_shift;
	struct bucket *bucket = bpf_map_lookup_elem(&rows, &number);

	if (!bucket)
		return NULL;
#pragma unroll
	for (int i = 0; i < SLOTS; i++)
		if (bucket->slots[i].key == key)
			return &bucket->slots[i];
	return NULL;
}

/* Find the row of a key and copy it. NULL if there is none, or if it has aged.
 *
 * The agent changes rows while this program reads them, without a lock. It writes each 64-bit word
 * in one store, so key and value are each consistent; the key is read again after the value, in case
 * the slot was given to another key in between. `volatile` makes the compiler read the memory once
 * for the copy and once more for the check. */
static __always_inline struct slot *row_of(__u64 key, __u32 now, struct slot *copy)
{
	struct slot *slot = in_bucket(key, config.multiplier[0]);

	if (!slot)
		slot = in_bucket(key, config.multiplier[1]);
	if (!slot)
		return NULL;
	*copy = *(volatile struct slot *)slot;
	if (*(volatile __u64 *)&slot->key != key)
		return NULL;
	if (!(copy->flags & PERMANENT) && (__s32)(now - copy->seen) > (__s32)config.ageing)
		return NULL;
	return slot;
}

/* Note that a frame from the row's MAC was received, at most once in a tick: a store to a shared
 * cache line is expensive when several CPUs forward. */
static __always_inline void renew(struct slot *slot, struct slot *copy, __u32 now)
{
	if (copy->seen != now)
		slot->seen = now;
}
