#include "hypervisor/console.h"

#include "hypervisor/arch/x86/cpu.h"
#include "lib/print.h"
#include "lib/spinlock.h"
#include "tlfs/plat.h"

#define UART_DATA       0
#define UART_LINE       5
#define UART_LINE_EMPTY 0x20
#define UART_TRIES      100000 /* a UART that never gets empty must not hold the machine */

#define LOG_LINES_PER_SECOND 20

static uint16_t console_port;
static struct spinlock console_lock;

void console_init(uint16_t port)
{
	console_port = port;
}

static void put(char c)
{
	for (unsigned int i = 0;
	     i < UART_TRIES && !(inb(console_port + UART_LINE) & UART_LINE_EMPTY); i++) {
		cpu_relax();
	}
	outb(console_port + UART_DATA, (uint8_t)c);
}

static void put_line(const char *format, va_list arguments)
{
	char line[256];
	size_t length = print_format(line, sizeof(line), format, arguments);

	if (!console_port) {
		return;
	}
	for (size_t i = 0; i < length; i++) {
		if (line[i] == '\n') {
			put('\r');
		}
		put(line[i]);
	}
}

void console_print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	spin_lock(&console_lock);
	put_line(format, arguments);
	spin_unlock(&console_lock);
	va_end(arguments);
}

void console_panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	put_line(format, arguments);
	va_end(arguments);
}

/* A guest may cause these without end, and a character costs as much as a hundred exits: some lines
 * a second, then none. */
void plat_log(const char *format, ...)
{
	static uint64_t second, lines;
	uint64_t now = plat_tsc() / plat_info.tsc_hz;
	va_list arguments;

	spin_lock(&console_lock);
	if (now != second) {
		second = now;
		lines = 0;
	}
	if (lines++ < LOG_LINES_PER_SECOND) {
		va_start(arguments, format);
		put_line(format, arguments);
		va_end(arguments);
		put('\r');
		put('\n');
	}
	spin_unlock(&console_lock);
}
