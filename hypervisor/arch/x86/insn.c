#include "hypervisor/arch/x86/insn.h"

#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/arch/x86/walk.h"
#include "hypervisor/home.h"
#include "lib/string.h"

/* Where the byte at RIP + rip_offset is, and how many follow it on its page; false: not mapped. */
static bool locate(struct vcpu *vcpu, uint64_t rip_offset, gpa_t *gpa, uint32_t *available)
{
	uint64_t linear = vendor_linear_rip(vcpu) + rip_offset;
	uint32_t error;

	*available = (uint32_t)(PAGE_SIZE - (linear & PAGE_MASK));
	if (walk_gva(vcpu, (gva_t){linear & ~PAGE_MASK}, WALK_FETCH, gpa, &error) !=
	    HV_TRANSLATE_GVA_SUCCESS) {
		return false;
	}
	gpa->v = (gpa->v & ~PAGE_MASK) | (linear & PAGE_MASK);
	return true;
}

/* The bytes from RIP to the end of its page, or NULL. They may be compared until the GPA map
 * changes, and not be passed on. */
static const uint8_t *peek(struct vcpu *vcpu, uint32_t *available)
{
	const uint8_t *page;
	gpa_t gpa;

	if (!locate(vcpu, 0, &gpa, available)) {
		return NULL;
	}
	page = gpa_peek(vcpu->vp->partition, gpa.v >> PAGE_SHIFT);
	return page != NULL ? page + (gpa.v & PAGE_MASK) : NULL;
}

_Static_assert(INSN_MAX == GPA_TRAIL_BYTES, "an instruction by a trail");

static bool same_way(struct vcpu *vcpu, const struct code_trail *code, uint64_t linear)
{
	return code->linear == (linear & ~PAGE_MASK) && code->cr3 == vendor_get_cr(vcpu, 3) &&
	       code->cr0 == vendor_get_cr(vcpu, 0) && code->cr4 == vendor_get_cr(vcpu, 4) &&
	       code->efer == vendor_get_efer(vcpu);
}

/* A walk that leaves a trail for the next one. False: more than one page is concerned, or the bytes
 * are not there. */
static bool fetch_first(struct vcpu *vcpu, struct code_trail *code, uint64_t linear,
			uint8_t bytes[INSN_MAX])
{
	gpa_t gpa;

	code->linear = linear & ~PAGE_MASK;
	code->cr0 = vendor_get_cr(vcpu, 0);
	code->cr3 = vendor_get_cr(vcpu, 3);
	code->cr4 = vendor_get_cr(vcpu, 4);
	code->efer = vendor_get_efer(vcpu);
	gpa_trail_begin(&code->trail);
	if (!walk_code(vcpu, (gva_t){code->linear}, &gpa, &code->trail)) {
		return false;
	}
	gpa.v = (gpa.v & ~PAGE_MASK) | (linear & PAGE_MASK);
	return gpa_trail_end(vcpu->vp->partition, &code->trail, gpa, bytes, INSN_MAX);
}

uint32_t insn_fetch(struct vcpu *vcpu, uint8_t bytes[INSN_MAX])
{
	uint64_t linear = vendor_linear_rip(vcpu);
	struct code_trail *code = &vcpu->code[linear >> PAGE_SHIFT & (CODE_TRAILS - 1)];
	uint32_t count = 0, available;
	gpa_t gpa;

	if ((linear & PAGE_MASK) <= PAGE_SIZE - INSN_MAX &&
	    ((same_way(vcpu, code, linear) &&
	      gpa_trail_follow(&code->trail, linear & PAGE_MASK, bytes)) ||
	     fetch_first(vcpu, code, linear, bytes))) {
		return INSN_MAX;
	}
	while (count < INSN_MAX && locate(vcpu, count, &gpa, &available)) {
		uint32_t part = available < INSN_MAX - count ? available : INSN_MAX - count;

		if (!plat_gpa_read(vcpu->vp->partition, gpa, bytes + count, part)) {
			break;
		}
		count += part;
	}
	return count;
}

struct prefixes {
	uint8_t count; /* bytes, REX included */
	uint8_t rex;
	bool any_rex; /* REX of 40 is one, too */
	bool operand_size, address_size;
};

static bool is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return false;
	}
}

static struct prefixes prefixes_of(const uint8_t *bytes, uint32_t count, unsigned int bits)
{
	struct prefixes p = {0};

	while (p.count < count && is_prefix(bytes[p.count])) {
		p.operand_size |= bytes[p.count] == 0x66;
		p.address_size |= bytes[p.count] == 0x67;
		p.count++;
	}
	if (bits == 64 && p.count < count && (bytes[p.count] & 0xf0) == 0x40) {
		p.rex = bytes[p.count++];
		p.any_rex = true;
	}
	return p;
}

static uint8_t prefixes_length(struct vcpu *vcpu)
{
	uint8_t bytes[INSN_MAX];
	uint32_t count = insn_fetch(vcpu, bytes);

	return prefixes_of(bytes, count, vendor_code_bits(vcpu)).count;
}

uint8_t insn_length(struct vcpu *vcpu, uint16_t opcode)
{
	struct seen_instruction *seen = insn_seen_at(vcpu);
	uint32_t available;

	*seen = (struct seen_instruction){.rip = vcpu->rip,
					  .cr3 = vendor_get_cr(vcpu, 3),
					  .generation = gpa_generation(vcpu->vp->partition)};
	seen->at = peek(vcpu, &available);
	if (seen->at == NULL || available < 2) {
		seen->generation = 0;
	} else if ((seen->at[0] | seen->at[1] << 8) == opcode) {
		return 2;
	}
	return (uint8_t)(prefixes_length(vcpu) + 2);
}

uint8_t insn_halt_length(struct vcpu *vcpu)
{
	return (uint8_t)(prefixes_length(vcpu) + 1);
}

/* Bytes of ModRM, SIB and displacement. */
static unsigned int modrm_length(const uint8_t *at, unsigned int address_bits)
{
	unsigned int mod = at[0] >> 6, rm = at[0] & 7;

	if (address_bits == 16) {
		return 1 + (mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 6) ? 2 : 0);
	}
	if (rm == 4) {
		return 2 + (mod == 1 ? 1 : mod == 2 || (mod == 0 && (at[1] & 7) == 5) ? 4 : 0);
	}
	return 1 + (mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0);
}

struct form {
	uint8_t opcode;
	bool byte, read, write, immediate, extends; /* MOVZX, whose opcode follows 0F */
	enum insn_operation operation;
};

static const struct form forms[] = {
	/* clang-format off */
	{0x88, true,  false, true,  false, false, INSN_MOVE},
	{0x89, false, false, true,  false, false, INSN_MOVE},
	{0x8a, true,  true,  false, false, false, INSN_MOVE},
	{0x8b, false, true,  false, false, false, INSN_MOVE},
	{0xc6, true,  false, true,  true,  false, INSN_MOVE},
	{0xc7, false, false, true,  true,  false, INSN_MOVE},
	{0x87, false, true,  true,  false, false, INSN_EXCHANGE},
	{0x21, false, true,  true,  false, false, INSN_AND},
	{0x09, false, true,  true,  false, false, INSN_OR},
	{0x31, false, true,  true,  false, false, INSN_XOR},
	{0xb6, true,  true,  false, false, true,  INSN_MOVE},
	{0xb7, false, true,  false, false, true,  INSN_MOVE},
	/* clang-format on */
};

/* What an instruction has behind its address: of 8 bytes 4, which are extended. */
static uint64_t immediate_at(const uint8_t *at, uint8_t bytes)
{
	int32_t value = 0;

	memcpy(&value, at, bytes);
	return (uint64_t)(int64_t)value;
}

bool insn_decode_access(struct vcpu *vcpu, struct insn_access *access)
{
	uint8_t bytes[INSN_MAX + 3] = {
		0}; /* zeros behind a short fetch, as far as modrm_length() looks */
	uint32_t count = insn_fetch(vcpu, bytes);
	unsigned int bits = vendor_code_bits(vcpu), length;
	struct prefixes p = prefixes_of(bytes, count, bits);
	uint8_t size = p.rex & 8 ? 8 : (bits == 16) != p.operand_size ? 2 : 4;
	const uint8_t *at = bytes + p.count;
	bool extends = at[0] == 0x0f;

	*access = (struct insn_access){.size = size, .register_size = size};
	if (at[0] >= 0xa0 && at[0] <= 0xa3) { /* MOV AL or EAX, moffs and back */
		access->size = access->register_size = at[0] & 1 ? size : 1;
		access->write = at[0] & 2;
		access->read = !access->write;
		length = p.count + 1u +
			 (bits == 64 ? (p.address_size ? 4 : 8)
				     : ((bits == 16) != p.address_size ? 2 : 4));
		access->length = (uint8_t)length;
		return length <= count;
	}
	at += extends;
	for (unsigned int i = 0; i < ARRAY_COUNT(forms); i++) {
		if (forms[i].opcode != at[0] || forms[i].extends != extends) {
			continue;
		}
		access->read = forms[i].read;
		access->write = forms[i].write;
		access->operation = forms[i].operation;
		access->has_immediate = forms[i].immediate;
		access->gpr = (uint8_t)((at[1] >> 3 & 7) | (p.rex & 4) << 1);
		if (extends) {
			access->size = forms[i].byte ? 1 : 2;
		} else if (forms[i].byte) {
			access->size = access->register_size = 1;
			access->high_byte =
				!forms[i].immediate && !p.any_rex && access->gpr >= GPR_RSP;
			access->gpr -= access->high_byte ? GPR_RSP : 0;
		}
		length = p.count + extends + 1u;
		length += modrm_length(at + 1, bits == 64                         ? 64
					       : ((bits == 16) != p.address_size) ? 16
										  : 32);
		if (forms[i].immediate) {
			uint8_t part = access->size < 4 ? access->size : 4;

			length += part;
			if (length > count) {
				return false;
			}
			access->immediate = immediate_at(bytes + length - part, part);
		}
		access->length = (uint8_t)length;
		return length <= count;
	}
	return false;
}
