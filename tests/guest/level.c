/*
 * Level-triggered lines of the IO-APIC, as every PCI device's are: each of many interrupts has to
 * end before the next comes, a line that is still up at the end is sent again, and lines may share
 * a vector. Each line says what was seen.
 */
#include "tests/guest/guest.h"

#define APIC_BASE 0x1b
#define X2APIC    (1u << 10)
#define EOI       0x80b
#define SVR       0x80f
#define VECTOR    31

#define IOAPIC     ((volatile uint32_t *)0xfec00000)
#define SELECT     0
#define WINDOW     4
#define LEVEL      (1u << 15)
#define REMOTE_IRR (1u << 14)

/* The serial line's interrupt stands while the transmitter is empty and nobody has looked why it
 * came. */
#define UART_LINE    4
#define UART_ENABLE  0x3f9
#define UART_CAUSE   0x3fa
#define UART_CONTROL 0x3fc
#define TRANSMITTER  2
#define OUT2         8

/* The clock's stands until register C is read. */
#define RTC_LINE   8
#define RTC_INDEX  0x70
#define RTC_DATA   0x71
#define RTC_B      0x0b
#define RTC_C      0x0c
#define B_24_HOURS 0x02
#define B_PERIODIC 0x40
#define C_PERIODIC 0x40

#define ROUNDS      200
#define SHARED      50
#define PATIENCE    200000u /* exits, in which the machine's other threads get on */
#define UNUSED_PORT 0x80
#define PIC_MASTER  0x21
#define PIC_SLAVE   0xa1
#define ALL_MASKED  0xff

static uint32_t ioapic_read(uint32_t index)
{
	IOAPIC[SELECT] = index;
	return IOAPIC[WINDOW];
}

static void ioapic_write(uint32_t index, uint32_t value)
{
	IOAPIC[SELECT] = index;
	IOAPIC[WINDOW] = value;
}

static void route(uint32_t pin)
{
	ioapic_write(0x11 + 2 * pin, 0);
	ioapic_write(0x10 + 2 * pin, VECTOR | LEVEL);
}

static bool in_service(uint32_t pin)
{
	return ioapic_read(0x10 + 2 * pin) & REMOTE_IRR;
}

static uint8_t rtc_read(uint8_t number)
{
	out8(RTC_INDEX, number);
	return in8(RTC_DATA);
}

static void rtc_write(uint8_t number, uint8_t value)
{
	out8(RTC_INDEX, number);
	out8(RTC_DATA, value);
}

static void open_window(void *argument)
{
	(void)argument;
	asm volatile("sti; nop; nop; cli");
}

/* The next interrupt; false when there is none. */
static bool interrupted(void)
{
	for (uint32_t i = 0; i < PATIENCE; i++) {
		if (guest_try(open_window, NULL) == VECTOR) {
			return true;
		}
		in8(UNUSED_PORT);
	}
	return false;
}

/* The word of the end reaches the IO-APIC later than the local APIC. */
static bool ends(uint32_t pin)
{
	for (uint32_t i = 0; i < PATIENCE; i++) {
		if (!in_service(pin)) {
			return true;
		}
	}
	return false;
}

static void say(const char *what, uint64_t value)
{
	print("level: ");
	print(what);
	print(" ");
	print_number(value);
	print("\n");
}

/* The line goes up and, after the interrupt, down. */
static bool round_trip(void)
{
	out8(UART_ENABLE, TRANSMITTER);
	if (!interrupted() || !in_service(UART_LINE)) {
		return false;
	}
	in8(UART_CAUSE);
	out8(UART_ENABLE, 0);
	wrmsr(EOI, 0);
	return ends(UART_LINE);
}

/* The line is still up when the interrupt ends. */
static bool again(void)
{
	out8(UART_ENABLE, TRANSMITTER);
	if (!interrupted()) {
		return false;
	}
	wrmsr(EOI, 0);
	if (!interrupted()) {
		return false;
	}
	in8(UART_CAUSE);
	out8(UART_ENABLE, 0);
	wrmsr(EOI, 0);
	return ends(UART_LINE);
}

/* Both lines by one vector: who it was is asked of both devices. Counts until each was often
 * enough. */
static void share(uint32_t *uart, uint32_t *rtc)
{
	rtc_write(RTC_B, B_24_HOURS | B_PERIODIC);
	out8(UART_ENABLE, TRANSMITTER);
	while ((*uart < SHARED || *rtc < SHARED) && interrupted()) {
		*rtc += (rtc_read(RTC_C) & C_PERIODIC) != 0;
		*uart += (in8(UART_CAUSE) & 0xf) == TRANSMITTER;
		out8(UART_ENABLE, 0);
		wrmsr(EOI, 0);
		out8(UART_ENABLE, TRANSMITTER);
	}
	rtc_write(RTC_B, B_24_HOURS);
	out8(UART_ENABLE, 0);
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	uint32_t done = 0, uart = 0, rtc = 0;
	bool once_more;

	(void)magic;
	(void)info;
	wrmsr(APIC_BASE, rdmsr(APIC_BASE) | X2APIC);
	wrmsr(SVR, 0x1ff);
	out8(PIC_MASTER, ALL_MASKED);
	out8(PIC_SLAVE, ALL_MASKED);
	out8(UART_CONTROL, OUT2);
	rtc_read(RTC_C);
	route(UART_LINE);
	route(RTC_LINE);
	while (done < ROUNDS && round_trip()) {
		done++;
	}
	once_more = again();
	share(&uart, &rtc);
	say("rounds", done);
	say("sent again", once_more);
	say("shared", uart >= SHARED && rtc >= SHARED);
	print("level: end\n");
	guest_end();
}
