/*
 * Where the loader speaks. See console.h.
 */
#include "loader/console.h"

#include <stdarg.h>
#include <stddef.h>

#include "boot/handoff.h"
#include "lib/print.h"
#include "loader/io.h"

#define COM1	   0x3f8
#define UART_DATA  0
#define UART_IER   1
#define UART_FCR   2
#define UART_LCR   3
#define UART_MCR   4
#define UART_LSR   5
#define UART_SCR   7
#define LCR_DLAB   0x80
#define LCR_8N1	   0x03
#define LSR_THRE   0x20
#define LINE_MAX   (2 * HANDOFF_CMDLINE_MAX)
#define SEND_SPINS 100000

#define SCREEN	    ((volatile uint16_t *)0xb8000)
#define COLUMNS	    80u
#define ROWS	    25u
#define ATTRIBUTE   0x0700
#define CRTC_INDEX  0x3d4
#define CURSOR_HIGH 0x0e
#define CURSOR_LOW  0x0f

static uint16_t serial_port;
static bool have_screen;
static unsigned int cursor;

uint16_t console_start(void)
{
	outb(COM1 + UART_SCR, 0x5a);
	if (inb(COM1 + UART_SCR) != 0x5a)
		return 0;
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
		if (inb(serial_port + UART_LSR) & LSR_THRE)
			break;
	}
	outb(serial_port + UART_DATA, (uint8_t)c);
}

static uint8_t crtc_read(uint8_t index)
{
	outb(CRTC_INDEX, index);
	return inb(CRTC_INDEX + 1);
}

static void crtc_write(uint8_t index, uint8_t value)
{
	outb(CRTC_INDEX, index);
	outb(CRTC_INDEX + 1, value);
}

static void screen_new_line(void)
{
	cursor += COLUMNS - cursor % COLUMNS;
	if (cursor < COLUMNS * ROWS)
		return;
	for (unsigned int i = 0; i < COLUMNS * (ROWS - 1); i++)
		SCREEN[i] = SCREEN[i + COLUMNS];
	for (unsigned int i = COLUMNS * (ROWS - 1); i < COLUMNS * ROWS; i++)
		SCREEN[i] = ATTRIBUTE | ' ';
	cursor = COLUMNS * (ROWS - 1);
}

static void screen_put(char c)
{
	if (c == '\n') {
		screen_new_line();
	} else {
		SCREEN[cursor] = (uint16_t)(ATTRIBUTE | (uint8_t)c);
		if (++cursor == COLUMNS * ROWS)
			screen_new_line();
	}
	crtc_write(CURSOR_HIGH, (uint8_t)(cursor >> 8));
	crtc_write(CURSOR_LOW, (uint8_t)cursor);
}

void console_use_screen(void)
{
	cursor = (unsigned int)crtc_read(CURSOR_HIGH) << 8 | crtc_read(CURSOR_LOW);
	if (cursor >= COLUMNS * ROWS)
		cursor = 0;
	have_screen = true;
	if (cursor % COLUMNS)
		screen_new_line();
}

uint8_t console_row(void)
{
	return (uint8_t)(cursor / COLUMNS);
}

static void put(char c)
{
	if (serial_port && c == '\n')
		serial_put('\r');
	if (serial_port)
		serial_put(c);
	if (have_screen)
		screen_put(c);
}

static void print_args(const char *format, va_list args)
{
	char line[LINE_MAX];
	size_t length = print_format(line, sizeof(line), format, args);

	for (size_t i = 0; i < length; i++)
		put(line[i]);
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
	for (;;)
		__asm__ volatile("cli; hlt");
}
