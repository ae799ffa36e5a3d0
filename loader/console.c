/*
 * Where the loader speaks. See console.h.
 */
#include "loader/console.h"

#include <stdarg.h>
#include <stddef.h>

#include "boot/handoff.h"
#include "lib/print.h"
#include "loader/framebuffer.h"
#include "loader/io.h"
#include "loader/vga.h"

#define COM1       0x3f8
#define UART_DATA  0
#define UART_IER   1
#define UART_FCR   2
#define UART_LCR   3
#define UART_MCR   4
#define UART_LSR   5
#define UART_SCR   7
#define LCR_DLAB   0x80
#define LCR_8N1    0x03
#define LSR_THRE   0x20
#define LINE_MAX   (2 * HANDOFF_CMDLINE_MAX)
#define SEND_SPINS 100000

enum screen {
	SCREEN_NONE,
	SCREEN_TEXT,
	SCREEN_GRAPHIC,
};

static uint16_t serial_port;
static enum screen screen;

uint16_t console_start(void)
{
	outb(COM1 + UART_SCR, 0x5a);
	if (inb(COM1 + UART_SCR) != 0x5a) {
		return 0;
	}
	outb(COM1 + UART_IER, 0);
	outb(COM1 + UART_LCR, LCR_DLAB | LCR_8N1);
	outb(COM1 + UART_DATA, 1); /* divisor 1: 115200 */
	outb(COM1 + UART_IER, 0);
	outb(COM1 + UART_LCR, LCR_8N1);
	outb(COM1 + UART_FCR, 0x07); /* FIFO on and empty */
	outb(COM1 + UART_MCR, 0x03); /* DTR, RTS */
	serial_port = COM1;
	return COM1;
}

static void serial_put(char c)
{
	for (int spins = 0; spins < SEND_SPINS; spins++) {
		if (inb(serial_port + UART_LSR) & LSR_THRE) {
			break;
		}
	}
	outb(serial_port + UART_DATA, (uint8_t)c);
}

void console_use_text(void)
{
	vga_start();
	screen = SCREEN_TEXT;
}

void console_use_framebuffer(const struct framebuffer *f)
{
	if (framebuffer_start(f)) {
		screen = SCREEN_GRAPHIC;
	}
}

static void put(char c)
{
	if (serial_port && c == '\n') {
		serial_put('\r');
	}
	if (serial_port) {
		serial_put(c);
	}
	if (screen == SCREEN_TEXT) {
		vga_put(c);
	} else if (screen == SCREEN_GRAPHIC) {
		framebuffer_put(c);
	}
}

static void print_args(const char *format, va_list args)
{
	char line[LINE_MAX];
	size_t length = print_format(line, sizeof(line), format, args);

	for (size_t i = 0; i < length; i++) {
		put(line[i]);
	}
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_args(format, args);
	va_end(args);
}

void stop(const char *format, ...)
{
	va_list args;

	print("Verdigris loader: stopped: ");
	va_start(args, format);
	print_args(format, args);
	va_end(args);
	print("\n");
	for (;;) {
		__asm__ volatile("cli; hlt");
	}
}
