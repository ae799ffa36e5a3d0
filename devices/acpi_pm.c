/*
 * ACPI power management hardware (ACPI 6.5, 4.8.3): PM1a event and control blocks, PM timer, GPE
 * block 0, at ACPI_PM_BASE.
 *
 * There is no legacy mode: SCI_EN is always set. The sleep type of S5 turns the machine off, the
 * others do nothing.
 */
#include "devices/parts.h"

#define REG_STATUS     0x0
#define REG_ENABLE     0x2
#define REG_CONTROL    0x4
#define REG_TIMER      0x8
#define REG_GPE_STATUS 0xc
#define REG_GPE_ENABLE 0xe

#define STATUS_TIMER        0x0001
#define STATUS_GLOBAL       0x0020
#define STATUS_POWER_BUTTON 0x0100
#define STATUS_RTC          0x0400 /* enabled by some; the clock's interrupt comes by its own line */
#define STATUS_WAKE         0x8000
#define STATUS_ALL          (STATUS_TIMER | STATUS_GLOBAL | STATUS_POWER_BUTTON | STATUS_WAKE)
#define ENABLE_ALL          (STATUS_TIMER | STATUS_GLOBAL | STATUS_POWER_BUTTON | STATUS_RTC)

#define CONTROL_SCI_EN     0x0001
#define CONTROL_SLEEP_TYPE 0x1c00
#define CONTROL_SLEEP      0x2000
#define CONTROL_KEPT       (CONTROL_SLEEP_TYPE | 0x0006)

#define TIMER_HZ      3579545ull
#define TIMER_TOGGLE  (1ull << 31) /* ticks between two changes of the top bit of a 32-bit timer */
#define NS_PER_SECOND 1000000000ull

static uint64_t ticks(const struct acpi_pm *pm, uint64_t now)
{
	return (uint64_t)((unsigned __int128)(now - pm->epoch) * TIMER_HZ / NS_PER_SECOND);
}

static void update_line(struct acpi_pm *pm)
{
	irq_set(&pm->irq, (pm->status & pm->enable) || (pm->gpe_status & pm->gpe_enable));
}

static void account_timer(struct acpi_pm *pm, uint64_t now)
{
	uint64_t toggles = ticks(pm, now) / TIMER_TOGGLE;

	if (toggles != pm->timer_toggles) {
		pm->timer_toggles = toggles;
		pm->status |= STATUS_TIMER;
	}
}

uint64_t acpi_pm_deadline(const struct acpi_pm *pm)
{
	unsigned __int128 at = (unsigned __int128)(pm->timer_toggles + 1) * TIMER_TOGGLE;

	if (!(pm->enable & STATUS_TIMER)) {
		return HOST_NEVER;
	}
	return pm->epoch + (uint64_t)((at * NS_PER_SECOND + TIMER_HZ - 1) / TIMER_HZ);
}

void acpi_pm_advance(struct acpi_pm *pm, uint64_t now)
{
	if (pm->enable & STATUS_TIMER) {
		account_timer(pm, now);
		update_line(pm);
	}
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
	pm->status |= STATUS_POWER_BUTTON;
	update_line(pm);
}

void acpi_pm_event(struct acpi_pm *pm, unsigned int gpe)
{
	pm->gpe_status |= (uint16_t)(1u << gpe);
	update_line(pm);
}

static uint32_t read_word(struct acpi_pm *pm, uint32_t offset)
{
	uint64_t now = host_time(pm->host);

	switch (offset) {
	case REG_STATUS:
		account_timer(pm, now);
		return pm->status;
	case REG_ENABLE:
		return pm->enable;
	case REG_CONTROL:
		return pm->control | CONTROL_SCI_EN;
	case REG_TIMER:
		return (uint32_t)ticks(pm, now) & 0xffff;
	case REG_TIMER + 2:
		return (uint32_t)ticks(pm, now) >> 16;
	case REG_GPE_STATUS:
		return pm->gpe_status;
	case REG_GPE_ENABLE:
		return pm->gpe_enable;
	default:
		return 0;
	}
}

static uint64_t acpi_pm_read(void *device, uint32_t offset, unsigned int size)
{
	struct acpi_pm *pm = device;
	uint32_t value = 0;
	unsigned int i;

	/* The timer in one piece: its bytes would be of several times. */
	if (offset == REG_TIMER && size == 4) {
		return (uint32_t)ticks(pm, host_time(pm->host));
	}
	for (i = 0; i < size; i++) {
		uint32_t at = offset + i;

		value |= (read_word(pm, at & ~1u) >> (at & 1) * 8 & 0xff) << 8 * i;
	}
	return value;
}

static void write_control(struct acpi_pm *pm, uint16_t value)
{
	pm->control = value & CONTROL_KEPT;
	if ((value & CONTROL_SLEEP) && (value & CONTROL_SLEEP_TYPE) >> 10 == pm->off_type) {
		host_power(pm->host, HOST_POWER_OFF);
	}
}

/* `mask` has the bits that were written. Status bits are cleared by writing ones. */
static void write_word(struct acpi_pm *pm, uint32_t offset, uint16_t value, uint16_t mask)
{
	value &= mask;
	switch (offset) {
	case REG_STATUS:
		account_timer(pm, host_time(pm->host));
		pm->status &= (uint16_t) ~(value & STATUS_ALL);
		break;
	case REG_ENABLE:
		account_timer(pm, host_time(pm->host));
		pm->enable = (uint16_t)((pm->enable & ~mask) | (value & ENABLE_ALL));
		break;
	case REG_CONTROL:
		write_control(pm, (uint16_t)((pm->control & ~mask) | value));
		break;
	case REG_GPE_STATUS:
		pm->gpe_status &= (uint16_t)~value;
		break;
	case REG_GPE_ENABLE:
		pm->gpe_enable = (uint16_t)((pm->gpe_enable & ~mask) | value);
		break;
	default:
		break;
	}
}

static void acpi_pm_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = device;
	uint64_t mask = (1ull << 8 * size) - 1, wide = value & mask;
	unsigned int shift = (offset & 1) * 8;

	wide <<= shift;
	mask <<= shift;
	for (offset &= ~1u; mask != 0; offset += 2, wide >>= 16, mask >>= 16) {
		write_word(pm, offset, (uint16_t)wide, (uint16_t)mask);
	}
	update_line(pm);
}

void acpi_pm_reset(struct acpi_pm *pm)
{
	pm->status = pm->enable = pm->control = 0;
	pm->gpe_status = pm->gpe_enable = 0;
	pm->epoch = host_time(pm->host);
	pm->timer_toggles = 0;
	irq_set(&pm->irq, false);
}

static void acpi_pm_save(const void *device, struct state_writer *writer)
{
	const struct acpi_pm *pm = device;

	state_put_u16(writer, pm->status);
	state_put_u16(writer, pm->enable);
	state_put_u16(writer, pm->control);
	state_put_u16(writer, pm->gpe_status);
	state_put_u16(writer, pm->gpe_enable);
	put_past(writer, pm->epoch, host_time(pm->host));
	state_put_u64(writer, pm->timer_toggles);
}

static void acpi_pm_load(void *device, struct state_reader *part, bool set)
{
	struct acpi_pm *pm = device, loaded = *pm;
	uint64_t now = host_time(pm->host);

	loaded.status = state_u16(part);
	loaded.enable = state_u16(part);
	loaded.control = state_u16(part);
	loaded.gpe_status = state_u16(part);
	loaded.gpe_enable = state_u16(part);
	loaded.epoch = get_past(part, now);
	loaded.timer_toggles = state_u64(part);
	loaded.irq.level =
		(loaded.status & loaded.enable) || (loaded.gpe_status & loaded.gpe_enable);
	if ((loaded.status & ~STATUS_ALL) || (loaded.enable & ~ENABLE_ALL) ||
	    (loaded.control & ~CONTROL_KEPT)) {
		state_refuse(part, "has a register with bits that it does not have");
	}
	if (loaded.timer_toggles > ticks(&loaded, now) / TIMER_TOGGLE) {
		state_refuse(part, "has a timer that is ahead of itself");
	}
	if (set && state_ok(part)) {
		*pm = loaded;
	}
}

const struct device_class acpi_pm_class = {.name = "acpi-pm",
					   .width = 4,
					   .read = acpi_pm_read,
					   .write = acpi_pm_write,
					   .version = 1,
					   .save = acpi_pm_save,
					   .load = acpi_pm_load};
