/*
 * The 16550A (National's data sheet): one serial port, with its FIFOs, its interrupts and its
 * loop-back.
 *
 * The line has no speed: a byte goes to the host as soon as the host has room, and comes as soon as
 * the guest has. The transmitter is shown as full while the host has no room, so a stalled terminal
 * stalls the guest's writer, as a wire would.
 */
#include "devices/parts.h"

#include <string.h>

#define REG_DATA 0 /* RBR, THR; divisor low with DLAB */
#define REG_IER  1 /* divisor high with DLAB */
#define REG_IIR  2 /* FCR when written */
#define REG_LCR  3
#define REG_MCR  4
#define REG_LSR  5
#define REG_MSR  6
#define REG_SCR  7

#define IER_RECEIVE  0x01
#define IER_TRANSMIT 0x02
#define IER_LINE     0x04
#define IER_MODEM    0x08
#define IER_ALL      0x0f

#define IIR_NONE     0x01
#define IIR_MODEM    0x00
#define IIR_TRANSMIT 0x02
#define IIR_RECEIVE  0x04
#define IIR_LINE     0x06
#define IIR_TIMEOUT  0x0c
#define IIR_FIFO     0xc0

#define FCR_ENABLE         0x01
#define FCR_CLEAR_RECEIVE  0x02
#define FCR_CLEAR_TRANSMIT 0x04
#define FCR_KEPT           0xc9

#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08 /* on a PC: lets the interrupt out */
#define MCR_LOOP 0x10
#define MCR_KEPT 0x1f

#define LSR_DATA    0x01
#define LSR_OVERRUN 0x02
#define LSR_THRE    0x20
#define LSR_TEMT    0x40

#define MSR_CTS   0x10
#define MSR_DSR   0x20
#define MSR_RING  0x40
#define MSR_DCD   0x80
#define MSR_DELTA 0x0f

/* Four characters at 115,200 baud: how long bytes below the trigger level wait. */
#define AGE_NS 347222

static bool fifo_on(const struct uart *uart)
{
	return uart->fcr & FCR_ENABLE;
}

static unsigned int capacity(const struct uart *uart)
{
	return fifo_on(uart) ? UART_FIFO : 1;
}

static unsigned int trigger(const struct uart *uart)
{
	static const uint8_t levels[4] = {1, 4, 8, 14};

	return fifo_on(uart) ? levels[uart->fcr >> 6] : 1;
}

static uint8_t interrupt_id(const struct uart *uart)
{
	if ((uart->ier & IER_LINE) && (uart->lsr & LSR_OVERRUN)) {
		return IIR_LINE;
	}
	if ((uart->ier & IER_RECEIVE) && uart->rx_count >= trigger(uart)) {
		return IIR_RECEIVE;
	}
	if ((uart->ier & IER_RECEIVE) && uart->rx_count != 0 && uart->rx_aged) {
		return IIR_TIMEOUT;
	}
	if ((uart->ier & IER_TRANSMIT) && uart->thre_pending) {
		return IIR_TRANSMIT;
	}
	if ((uart->ier & IER_MODEM) && (uart->msr & MSR_DELTA)) {
		return IIR_MODEM;
	}
	return IIR_NONE;
}

static bool line_level(const struct uart *uart)
{
	return interrupt_id(uart) != IIR_NONE && (uart->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
}

static void update_line(struct uart *uart)
{
	irq_set(&uart->irq, line_level(uart));
}

static void receive(struct uart *uart, uint8_t byte)
{
	if (uart->rx_count == capacity(uart)) {
		uart->lsr |= LSR_OVERRUN;
		return;
	}
	uart->rx[(uart->rx_first + uart->rx_count) % UART_FIFO] = byte;
	uart->rx_count++;
	uart->rx_aged = false;
	uart->rx_age_at = host_time(uart->host) + AGE_NS;
}

void uart_ready(struct uart *uart)
{
	uint8_t byte;

	if (uart->mcr & MCR_LOOP) {
		return;
	}
	while (uart->rx_count < capacity(uart) && host_serial_get(uart->host, &byte)) {
		receive(uart, byte);
	}
	update_line(uart);
}

static uint8_t read_data(struct uart *uart)
{
	uint8_t byte;

	if (uart->rx_count == 0) {
		return 0;
	}
	byte = uart->rx[uart->rx_first];
	uart->rx_first = (uart->rx_first + 1) % UART_FIFO;
	uart->rx_count--;
	uart_ready(uart);
	return byte;
}

void uart_drained(struct uart *uart)
{
	if (uart->tx_count == 0) {
		return;
	}
	while (uart->tx_count != 0 && host_serial_put(uart->host, uart->tx[uart->tx_first])) {
		uart->tx_first = (uart->tx_first + 1) % UART_FIFO;
		uart->tx_count--;
	}
	if (uart->tx_count == 0) {
		uart->thre_pending = true;
		update_line(uart);
	}
}

/*
 * The write ends the interrupt of the empty transmitter, so that of the next one is an edge of its
 * own, however soon it comes: a driver may write without having read IIR.
 */
static void write_data(struct uart *uart, uint8_t byte)
{
	uart->thre_pending = false;
	update_line(uart);
	if (uart->mcr & MCR_LOOP) {
		receive(uart, byte);
		uart->thre_pending = true;
	} else if (uart->tx_count == 0 && host_serial_put(uart->host, byte)) {
		uart->thre_pending = true;
	} else if (uart->tx_count < capacity(uart)) {
		uart->tx[(uart->tx_first + uart->tx_count) % UART_FIFO] = byte;
		uart->tx_count++;
	}
}

static void write_ier(struct uart *uart, uint8_t value)
{
	/* Enabling it while the transmitter is empty is an interrupt of its own. */
	if ((value & ~uart->ier & IER_TRANSMIT) && uart->tx_count == 0) {
		uart->thre_pending = true;
	}
	uart->ier = value & IER_ALL;
}

static void write_fcr(struct uart *uart, uint8_t value)
{
	bool changed = (value ^ uart->fcr) & FCR_ENABLE;

	if (changed || (value & FCR_CLEAR_RECEIVE)) {
		uart->rx_count = 0;
		uart->rx_aged = false;
	}
	if ((changed || (value & FCR_CLEAR_TRANSMIT)) && uart->tx_count != 0) {
		uart->tx_count = 0;
		uart->thre_pending = true;
	}
	uart->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	uart_ready(uart);
}

/* The modem lines: a peer that is always there, or the port's own outputs when looped back. */
static uint8_t modem_lines(const struct uart *uart)
{
	if (!(uart->mcr & MCR_LOOP)) {
		return MSR_CTS | MSR_DSR | MSR_DCD;
	}
	return (uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (uart->mcr & MCR_OUT1 ? MSR_RING : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct uart *uart, uint8_t value)
{
	uint8_t lines, changed;

	uart->mcr = value & MCR_KEPT;
	lines = modem_lines(uart);
	changed = (uart->msr ^ lines) >> 4;
	/* Of the ring line only the falling edge counts. */
	if (lines & MSR_RING) {
		changed &= (uint8_t) ~(MSR_RING >> 4);
	}
	uart->msr = lines | (uart->msr & MSR_DELTA) | changed;
	uart_ready(uart);
}

static uint8_t read_iir(struct uart *uart)
{
	uint8_t id = interrupt_id(uart);

	if (id == IIR_TRANSMIT) {
		uart->thre_pending = false;
	}
	return id | (fifo_on(uart) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart *uart)
{
	uint8_t value = uart->lsr;

	value |= uart->rx_count != 0 ? LSR_DATA : 0;
	value |= uart->tx_count == 0 ? LSR_THRE | LSR_TEMT : 0;
	uart->lsr = 0;
	return value;
}

static uint8_t read_msr(struct uart *uart)
{
	uint8_t value = uart->msr;

	uart->msr &= (uint8_t)~MSR_DELTA;
	return value;
}

static uint8_t read_register(struct uart *uart, uint32_t offset)
{
	switch (offset) {
	case REG_DATA:
		return uart->lcr & LCR_DLAB ? uart->divisor_low : read_data(uart);
	case REG_IER:
		return uart->lcr & LCR_DLAB ? uart->divisor_high : uart->ier;
	case REG_IIR:
		return read_iir(uart);
	case REG_LCR:
		return uart->lcr;
	case REG_MCR:
		return uart->mcr;
	case REG_LSR:
		return read_lsr(uart);
	case REG_MSR:
		return read_msr(uart);
	default:
		return uart->scr;
	}
}

static void write_register(struct uart *uart, uint32_t offset, uint8_t value)
{
	switch (offset) {
	case REG_DATA:
		if (uart->lcr & LCR_DLAB) {
			uart->divisor_low = value;
		} else {
			write_data(uart, value);
		}
		break;
	case REG_IER:
		if (uart->lcr & LCR_DLAB) {
			uart->divisor_high = value;
		} else {
			write_ier(uart, value);
		}
		break;
	case REG_IIR:
		write_fcr(uart, value);
		break;
	case REG_LCR:
		uart->lcr = value;
		break;
	case REG_MCR:
		write_mcr(uart, value);
		break;
	case REG_SCR:
		uart->scr = value;
		break;
	default: /* LSR and MSR are for reading */
		break;
	}
}

static uint64_t uart_read(void *device, uint32_t offset, unsigned int size)
{
	struct uart *uart = device;
	uint8_t value = read_register(uart, offset);

	(void)size;
	update_line(uart);
	return value;
}

static void uart_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	write_register(device, offset, (uint8_t)value);
	update_line(device);
}

uint64_t uart_deadline(const struct uart *uart)
{
	bool waiting = uart->rx_count != 0 && uart->rx_count < trigger(uart) && !uart->rx_aged;

	return waiting && (uart->ier & IER_RECEIVE) ? uart->rx_age_at : HOST_NEVER;
}

void uart_advance(struct uart *uart, uint64_t now)
{
	if (now >= uart_deadline(uart)) {
		uart->rx_aged = true;
		update_line(uart);
	}
}

/* The oldest byte first, wherever it lies. */
static void save_fifo(const uint8_t *fifo, unsigned int first, unsigned int count,
		      struct state_writer *writer)
{
	unsigned int i;

	state_put_u8(writer, (uint8_t)count);
	for (i = 0; i < count; i++) {
		state_put_u8(writer, fifo[(first + i) % UART_FIFO]);
	}
}

static uint8_t load_fifo(uint8_t *fifo, unsigned int room, struct state_reader *part)
{
	uint8_t count = state_u8(part);

	if (count > room) {
		state_refuse(part, "has more bytes than its FIFO takes");
		return 0;
	}
	state_bytes(part, fifo, count);
	return count;
}

static void uart_save(const void *device, struct state_writer *writer)
{
	const struct uart *uart = device;

	state_put_u8(writer, uart->ier);
	state_put_u8(writer, uart->fcr);
	state_put_u8(writer, uart->lcr);
	state_put_u8(writer, uart->mcr);
	state_put_u8(writer, uart->lsr);
	state_put_u8(writer, uart->msr);
	state_put_u8(writer, uart->scr);
	state_put_u8(writer, uart->divisor_low);
	state_put_u8(writer, uart->divisor_high);
	state_put_bool(writer, uart->thre_pending);
	state_put_bool(writer, uart->rx_aged);
	put_coming(writer, uart->rx_age_at, host_time(uart->host));
	save_fifo(uart->rx, uart->rx_first, uart->rx_count, writer);
	save_fifo(uart->tx, uart->tx_first, uart->tx_count, writer);
}

static void uart_load(void *device, struct state_reader *part, bool set)
{
	struct uart *uart = device, loaded = *uart;

	loaded.ier = get_bits(part, IER_ALL);
	loaded.fcr = get_bits(part, FCR_KEPT);
	loaded.lcr = state_u8(part);
	loaded.mcr = get_bits(part, MCR_KEPT);
	loaded.lsr = get_bits(part, LSR_OVERRUN);
	loaded.msr = state_u8(part);
	loaded.scr = state_u8(part);
	loaded.divisor_low = state_u8(part);
	loaded.divisor_high = state_u8(part);
	loaded.thre_pending = state_bool(part);
	loaded.rx_aged = state_bool(part);
	loaded.rx_age_at = get_coming(part, host_time(uart->host));
	loaded.rx_first = loaded.tx_first = 0;
	loaded.rx_count = load_fifo(loaded.rx, capacity(&loaded), part);
	loaded.tx_count = load_fifo(loaded.tx, capacity(&loaded), part);
	if ((loaded.fcr != 0 && !fifo_on(&loaded)) ||
	    (loaded.msr & ~MSR_DELTA) != modem_lines(&loaded)) {
		state_refuse(part, "has registers that do not fit together");
	}
	loaded.irq.level = line_level(&loaded);
	if (set && state_ok(part)) {
		*uart = loaded;
	}
}

void uart_reset(struct uart *uart)
{
	struct host *host = uart->host;
	struct irq_source irq = uart->irq;

	irq_set(&irq, false);
	memset(uart, 0, sizeof(*uart));
	uart->host = host;
	uart->irq = irq;
	uart->divisor_low = 1; /* 115,200 baud */
	uart->lcr = 3;         /* 8 bits, no parity, 1 stop bit */
	uart->msr = modem_lines(uart);
}

const struct device_class uart_class = {.name = "uart",
					.width = 1,
					.read = uart_read,
					.write = uart_write,
					.version = 1,
					.save = uart_save,
					.load = uart_load};
