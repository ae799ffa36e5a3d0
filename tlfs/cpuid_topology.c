/*
 * Where a child's VPs are: sockets of processors_per_socket VPs, with two threads a core when the
 * partition was made with SMT. An APIC id is socket << socket_shift | core << thread_shift |
 * thread; leaves 1, 4, 0xB, 0x80000008, 0x8000001D and 0x8000001E tell it in their own ways (SDM,
 * "Detecting Topology"; APM vol. 3, appendix E).
 */
#include "tlfs/cpuid.h"

struct topology {
	uint32_t threads, cores; /* of a core; of a socket */
	uint32_t thread_shift, socket_shift;
};

static uint32_t bits_for(uint32_t count)
{
	return count < 2 ? 0 : 32 - (uint32_t)__builtin_clz(count - 1);
}

static struct topology topology_of(const struct partition *p)
{
	uint32_t vps = p->vp_count ? p->vp_count : 1, socket = vps;
	struct topology t;

	if (p->processors_per_socket && p->processors_per_socket < vps) {
		socket = (uint32_t)p->processors_per_socket;
	}
	t.threads = (p->create_flags & HV_PARTITION_CREATION_FLAG_SMT_ENABLED_GUEST) && socket > 1
			    ? 2
			    : 1;
	t.cores = (socket + t.threads - 1) / t.threads;
	t.thread_shift = bits_for(t.threads);
	t.socket_shift = t.thread_shift + bits_for(t.cores);
	return t;
}

/*
 * Leaf 4 and 0x8000001D: how many APIC ids share a cache. A machine's cache that more than one core
 * shares, the socket shares.
 */
static void cache_leaf(const struct topology *t, uint32_t leaf, uint32_t out[4])
{
	uint32_t level = (out[EAX] >> 5) & 7,
		 sharing = level >= 3 ? t->socket_shift : t->thread_shift;

	if (!(out[EAX] & 0x1F)) {
		return;
	}
	out[EAX] = (out[EAX] & 0x3FFF) | ((1u << sharing) - 1) << 14;
	if (leaf == 4) {
		out[EAX] |= ((1u << (t->socket_shift - t->thread_shift)) - 1) << 26;
	}
}

static void extended_leaf(const struct vp *vp, const struct topology *t, uint32_t subleaf,
			  uint32_t out[4])
{
	out[EAX] = out[EBX] = 0;
	out[ECX] = subleaf & 0xFF;
	out[EDX] = vp->apic_id;
	if (subleaf == 0) {
		out[EAX] = t->thread_shift;
		out[EBX] = t->threads;
		out[ECX] |= 1 << 8; /* SMT */
	} else if (subleaf == 1) {
		out[EAX] = t->socket_shift;
		out[EBX] = t->threads * t->cores;
		out[ECX] |= 2 << 8; /* core */
	}
}

void cpuid_topology_leaf(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	struct topology t = topology_of(vp->partition);

	switch (leaf) {
	case 0x1:
		out[EBX] = (out[EBX] & 0xFF00FF00) | (1u << t.socket_shift) << 16;
		if (t.threads * t.cores > 1) {
			out[EDX] |= CPUID_1_EDX_HTT;
		}
		break;
	case 0x4:
	case 0x8000001D:
		cache_leaf(&t, leaf, out);
		break;
	case 0xB:
		extended_leaf(vp, &t, subleaf, out);
		break;
	case 0x80000001:
		if (t.threads * t.cores > 1) {
			out[ECX] |= CPUID_81_ECX_CMP_LEGACY;
		}
		break;
	case 0x80000008:
		out[ECX] = t.socket_shift << 12 | (t.threads * t.cores - 1);
		break;
	case 0x8000001E:
		out[EAX] = vp->apic_id;
		out[EBX] = (t.threads - 1) << 8 |
			   ((vp->apic_id & ((1u << t.socket_shift) - 1)) >> t.thread_shift);
		out[ECX] = vp->apic_id >> t.socket_shift;
		out[EDX] = 0;
		break;
	default:
		break;
	}
}
