#include "tests/fake/firmware.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/console.h"
#include "hypervisor/lp.h"
#include "hypervisor/mmio.h"
#include "tlfs/hv.h"
#include "tlfs/plat.h"

uint8_t table[4096];
char said[8192];
uint64_t tsc;
jmp_buf stopped;
static struct lp processors[FIRMWARE_LPS] = {{.apic_id = 5}, {.apic_id = 9}, {.apic_id = 300}};
struct lp *lps[HANDOFF_MAX_LPS] = {&processors[0], &processors[1], &processors[2]};
uint32_t lp_count = FIRMWARE_LPS;
static struct vp vps[FIRMWARE_LPS];
bool apic_wide;

static void say(const char *format, va_list arguments)
{
	size_t length = strlen(said);

	vsnprintf(said + length, sizeof(said) - length, format, arguments);
}

void console_print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}

void plat_log(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}

_Noreturn void machine_stop(const char *reason)
{
	console_print("%s", reason);
	longjmp(stopped, 1);
}

uint64_t plat_tsc(void)
{
	return tsc += 1000;
}

/* Units have none of one byte; tables do. */
uint8_t mmio_read8(const volatile void *at)
{
	return *(const volatile uint8_t *)at;
}

void mmio_write8(volatile void *at, uint8_t value)
{
	*(volatile uint8_t *)at = value;
}

bool apic_is_wide(void)
{
	return apic_wide;
}

struct vp *partition_vp(struct partition *p, uint32_t index)
{
	return p->id == HV_ROOT_PARTITION && index < FIRMWARE_LPS ? &vps[index] : NULL;
}

bool lapic_reaches(const struct vp *vp, uint32_t destination, bool logical)
{
	return logical ? destination >> (vp - vps) & 1
		       : destination == processors[vp - vps].apic_id;
}

unsigned int paging_max_level(void)
{
	return 2;
}

void table_begin(const char *signature)
{
	plat_info.tsc_hz = 1000000;
	said[0] = '\0';
	memset(table, 0, sizeof(table));
	memcpy(table, signature, 4);
}

void table_put(uint32_t at, uint64_t value, unsigned int size)
{
	memcpy(table + at, &value, size);
}

void table_seal(uint32_t length)
{
	uint8_t sum = 0;

	table_put(4, length, 4);
	table[9] = 0;
	for (uint32_t i = 0; i < length; i++) {
		sum = (uint8_t)(sum + table[i]);
	}
	table[9] = (uint8_t)-sum;
}

unsigned int refusals(void)
{
	unsigned int count = 0;

	for (const char *at = said; (at = strstr(at, "is refused to")) != NULL; at++) {
		count++;
	}
	return count;
}
