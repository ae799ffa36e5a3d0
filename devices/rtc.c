/*
 * The MC146818 clock and its RAM (Motorola data sheet), at ports 0x70 and 0x71, with 128 bytes and
 * the century at 0x32.
 *
 * The clock is the host's wall clock plus an offset; setting it changes the offset, so it goes on
 * while nobody looks. With register B's SET bit the bytes stand still, and the offset is taken from
 * them when the bit is cleared.
 */
#include "devices/parts.h"

#define NS_PER_SECOND   1000000000ll
#define SECONDS_PER_DAY 86400ll

#define REG_SECONDS       0
#define REG_SECONDS_ALARM 1
#define REG_MINUTES       2
#define REG_MINUTES_ALARM 3
#define REG_HOURS         4
#define REG_HOURS_ALARM   5
#define REG_WEEKDAY       6
#define REG_DAY           7
#define REG_MONTH         8
#define REG_YEAR          9
#define REG_A             10
#define REG_B             11
#define REG_C             12
#define REG_D             13
#define REG_CENTURY       0x32

#define A_UPDATE_IN_PROGRESS 0x80
#define A_RATE               0x0f
#define A_DIVIDER            0x70
#define A_DIVIDER_RUNS       0x20

#define B_SET      0x80
#define B_PERIODIC 0x40
#define B_ALARM    0x20
#define B_UPDATE   0x10
#define B_BINARY   0x04
#define B_24_HOURS 0x02

#define C_REQUEST  0x80
#define C_PERIODIC 0x40
#define C_ALARM    0x20
#define C_UPDATE   0x10

#define D_VALID 0x80

#define HOUR_PM   0x80
#define ALARM_ANY 0xc0   /* an alarm byte with both top bits set matches everything */
#define UPDATE_NS 244000 /* how long before the second UIP rises */

static uint8_t encode(const struct rtc *rtc, int value)
{
	return (uint8_t)(rtc->ram[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->ram[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->ram[REG_B] & B_24_HOURS) {
		return encode(rtc, hour);
	}
	return encode(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->ram[REG_B] & B_24_HOURS) {
		return decode(rtc, value);
	}
	return decode(rtc, value & 0x7f) % 12 + (value & HOUR_PM ? 12 : 0);
}

static int64_t guest_ns(const struct rtc *rtc)
{
	return (int64_t)(host_wall_time(rtc->host) + (uint64_t)rtc->offset);
}

/* Rounds down for times before 1970 too. */
static int64_t seconds_of(int64_t ns)
{
	return ns / NS_PER_SECOND - (ns % NS_PER_SECOND < 0);
}

/*
 * The Gregorian calendar, in years that begin in March so that the odd day comes last. Days are
 * counted from 1970-01-01. libc's functions read the host's time zone files, which is not wanted
 * here.
 */
#define DAYS_BEFORE_1970 719468 /* since 0000-03-01 */
#define DAYS_PER_ERA     146097 /* 400 years */

struct date {
	int year, month, day, weekday; /* month and day from 1, weekday from 0, Sunday */
};

static int64_t days_of(const struct date *date)
{
	int64_t year = date->year - (date->month <= 2), era = (year >= 0 ? year : year - 399) / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year =
		(153 * (date->month + (date->month > 2 ? -3 : 9)) + 2) / 5 + date->day - 1;

	return era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
	       DAYS_BEFORE_1970;
}

static struct date date_of(int64_t days)
{
	int64_t shifted = days + DAYS_BEFORE_1970;
	int64_t era = (shifted >= 0 ? shifted : shifted - DAYS_PER_ERA + 1) / DAYS_PER_ERA;
	int64_t day = shifted - era * DAYS_PER_ERA;
	int64_t year = (day - day / 1460 + day / 36524 - day / (DAYS_PER_ERA - 1)) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100),
		month = (5 * of_year + 2) / 153;

	return (struct date){
		.year = (int)(year + era * 400 + (month >= 10)),
		.month = (int)(month + (month < 10 ? 3 : -9)),
		.day = (int)(of_year - (153 * month + 2) / 5 + 1),
		.weekday = (int)(((days + 4) % 7 + 7) % 7),
	};
}

static void time_to_ram(struct rtc *rtc, int64_t second)
{
	int64_t days = second / SECONDS_PER_DAY - (second % SECONDS_PER_DAY < 0);
	int of_day = (int)(second - days * SECONDS_PER_DAY);
	struct date date = date_of(days);

	rtc->ram[REG_SECONDS] = encode(rtc, of_day % 60);
	rtc->ram[REG_MINUTES] = encode(rtc, of_day / 60 % 60);
	rtc->ram[REG_HOURS] = encode_hour(rtc, of_day / 3600);
	rtc->ram[REG_WEEKDAY] = encode(rtc, date.weekday + 1);
	rtc->ram[REG_DAY] = encode(rtc, date.day);
	rtc->ram[REG_MONTH] = encode(rtc, date.month);
	rtc->ram[REG_YEAR] = encode(rtc, date.year % 100);
	rtc->ram[REG_CENTURY] = encode(rtc, date.year / 100 % 100);
}

/* Whatever the guest wrote gives some time: a byte is 165 at most as BCD, 255 as binary, and too
 * much of it carries over. */
static void ram_to_time(struct rtc *rtc)
{
	int months = decode(rtc, rtc->ram[REG_MONTH]) - 1;
	int year = decode(rtc, rtc->ram[REG_CENTURY]) * 100 + decode(rtc, rtc->ram[REG_YEAR]);
	struct date date = {.year = year + months / 12, .month = months % 12 + 1, .day = 1};
	int64_t second, wall = (int64_t)host_wall_time(rtc->host);

	if (months < 0) {
		date.month = 12;
		date.year--;
	}
	second = (days_of(&date) + decode(rtc, rtc->ram[REG_DAY]) - 1) * SECONDS_PER_DAY +
		 decode_hour(rtc, rtc->ram[REG_HOURS]) * 3600 +
		 decode(rtc, rtc->ram[REG_MINUTES]) * 60 + decode(rtc, rtc->ram[REG_SECONDS]);
	/* The 64-bit count of nanoseconds ends in 2262. */
	if (second < INT64_MIN / 2 / NS_PER_SECOND || second > INT64_MAX / 2 / NS_PER_SECOND) {
		return;
	}
	rtc->offset = second * NS_PER_SECOND - wall;
	rtc->last_second = second;
}

/* Says whether it interrupts, in register C too. */
static bool request(struct rtc *rtc)
{
	uint8_t causes = rtc->ram[REG_C] & rtc->ram[REG_B] & (C_PERIODIC | C_ALARM | C_UPDATE);

	rtc->ram[REG_C] &= (uint8_t)~C_REQUEST;
	rtc->ram[REG_C] |= causes != 0 ? C_REQUEST : 0;
	return causes != 0;
}

static void update_line(struct rtc *rtc)
{
	irq_set(&rtc->irq, request(rtc));
}

static bool alarm_byte_matches(const struct rtc *rtc, unsigned int alarm, unsigned int time)
{
	return (rtc->ram[alarm] & ALARM_ANY) == ALARM_ANY || rtc->ram[alarm] == rtc->ram[time];
}

static bool alarm_matches(struct rtc *rtc, int64_t second)
{
	time_to_ram(rtc, second);
	return alarm_byte_matches(rtc, REG_SECONDS_ALARM, REG_SECONDS) &&
	       alarm_byte_matches(rtc, REG_MINUTES_ALARM, REG_MINUTES) &&
	       alarm_byte_matches(rtc, REG_HOURS_ALARM, REG_HOURS);
}

static bool clock_runs(const struct rtc *rtc)
{
	return !(rtc->ram[REG_B] & B_SET) && (rtc->ram[REG_A] & A_DIVIDER) == A_DIVIDER_RUNS;
}

/* Accounts for the updates since last time. Alarms come again after a day, so none is missed. */
static void account_updates(struct rtc *rtc)
{
	int64_t now = seconds_of(guest_ns(rtc));

	if (!clock_runs(rtc) || now <= rtc->last_second) {
		return;
	}
	if (now - rtc->last_second > SECONDS_PER_DAY) {
		rtc->last_second = now - SECONDS_PER_DAY;
	}
	while (rtc->last_second < now) {
		rtc->last_second++;
		if (alarm_matches(rtc, rtc->last_second)) {
			rtc->ram[REG_C] |= C_ALARM;
		}
	}
	rtc->ram[REG_C] |= C_UPDATE;
	time_to_ram(rtc, now);
	update_line(rtc);
}

/* Rates 1 and 2 are 256 and 128 Hz on the usual 32 kHz crystal, 3 is 8192 Hz and each further one
 * half of it. */
static uint64_t period_ns(const struct rtc *rtc)
{
	unsigned int rate = rtc->ram[REG_A] & A_RATE;

	if (rate == 0 || (rtc->ram[REG_A] & A_DIVIDER) != A_DIVIDER_RUNS) {
		return 0;
	}
	if (rate < 3) {
		rate += 7;
	}
	return ((uint64_t)NS_PER_SECOND << (rate - 1)) / 32768;
}

/* The flag is set at each period's end, whether its interrupt is wanted or not: some only look. */
static void account_periods(struct rtc *rtc)
{
	uint64_t period = period_ns(rtc), now = host_time(rtc->host);

	if (period != 0 &&
	    (now - rtc->epoch) / period != (rtc->last_periodic - rtc->epoch) / period) {
		rtc->ram[REG_C] |= C_PERIODIC;
		update_line(rtc);
	}
	rtc->last_periodic = now;
}

static uint64_t end_of_second(const struct rtc *rtc, uint64_t now)
{
	int64_t ns = guest_ns(rtc);

	return now + (uint64_t)((seconds_of(ns) + 1) * NS_PER_SECOND - ns);
}

/* When the next periodic interrupt and the next update that somebody waits for come. */
static void set_timers(struct rtc *rtc)
{
	uint64_t period = period_ns(rtc), now = host_time(rtc->host);

	rtc->next_periodic = rtc->next_update = HOST_NEVER;
	if (period != 0 && (rtc->ram[REG_B] & B_PERIODIC)) {
		rtc->next_periodic = rtc->epoch + ((now - rtc->epoch) / period + 1) * period;
	}
	if (clock_runs(rtc) && (rtc->ram[REG_B] & (B_ALARM | B_UPDATE))) {
		rtc->next_update = end_of_second(rtc, now);
	}
}

uint64_t rtc_deadline(const struct rtc *rtc)
{
	return rtc->next_periodic < rtc->next_update ? rtc->next_periodic : rtc->next_update;
}

void rtc_advance(struct rtc *rtc, uint64_t now)
{
	if (now < rtc_deadline(rtc)) {
		return;
	}
	account_periods(rtc);
	if (now >= rtc->next_update) {
		account_updates(rtc);
	}
	set_timers(rtc);
}

static uint8_t read_register(struct rtc *rtc)
{
	uint8_t value;

	switch (rtc->index) {
	case REG_A:
		value = rtc->ram[REG_A];
		if (clock_runs(rtc)) {
			int64_t ns = guest_ns(rtc);
			int64_t left = (seconds_of(ns) + 1) * NS_PER_SECOND - ns;

			value |= left <= UPDATE_NS ? A_UPDATE_IN_PROGRESS : 0;
		}
		return value;
	case REG_C:
		account_periods(rtc);
		account_updates(rtc);
		value = rtc->ram[REG_C];
		rtc->ram[REG_C] = 0;
		update_line(rtc);
		return value;
	case REG_SECONDS:
	case REG_MINUTES:
	case REG_HOURS:
	case REG_WEEKDAY ... REG_YEAR:
	case REG_CENTURY:
		if (clock_runs(rtc)) {
			time_to_ram(rtc, seconds_of(guest_ns(rtc)));
		}
		return rtc->ram[rtc->index];
	default:
		return rtc->ram[rtc->index];
	}
}

static void write_b(struct rtc *rtc, uint8_t value)
{
	bool ran = clock_runs(rtc);

	account_periods(rtc);
	if (ran) {
		account_updates(rtc);
		time_to_ram(rtc, seconds_of(guest_ns(rtc)));
	}
	/* Setting SET clears the update interrupt's enable. */
	rtc->ram[REG_B] = value & B_SET ? value & ~B_UPDATE : value;
	if (!ran && clock_runs(rtc)) {
		ram_to_time(rtc);
	} else if (ran && clock_runs(rtc)) {
		/* The format may have changed. */
		time_to_ram(rtc, seconds_of(guest_ns(rtc)));
	}
	set_timers(rtc);
	update_line(rtc);
}

static void write_time(struct rtc *rtc, uint8_t value)
{
	if (clock_runs(rtc)) {
		time_to_ram(rtc, seconds_of(guest_ns(rtc)));
	}
	rtc->ram[rtc->index] = value;
	if (clock_runs(rtc)) {
		ram_to_time(rtc);
		set_timers(rtc);
	}
}

static void write_a(struct rtc *rtc, uint8_t value)
{
	bool ran = clock_runs(rtc);

	account_periods(rtc);
	if (ran) {
		account_updates(rtc);
		time_to_ram(rtc, seconds_of(guest_ns(rtc)));
	}
	rtc->ram[REG_A] = value & ~A_UPDATE_IN_PROGRESS;
	if (!ran && clock_runs(rtc)) {
		ram_to_time(rtc);
	}
	set_timers(rtc);
}

static void write_register(struct rtc *rtc, uint8_t value)
{
	switch (rtc->index) {
	case REG_A:
		write_a(rtc, value);
		break;
	case REG_B:
		write_b(rtc, value);
		break;
	case REG_C:
	case REG_D:
		break; /* read only */
	case REG_SECONDS:
	case REG_MINUTES:
	case REG_HOURS:
	case REG_WEEKDAY ... REG_YEAR:
	case REG_CENTURY:
		write_time(rtc, value);
		break;
	default:
		rtc->ram[rtc->index] = value;
		break;
	}
}

static uint64_t rtc_read(void *device, uint32_t offset, unsigned int size)
{
	(void)size;
	return offset == 0 ? 0xff : read_register(device);
}

/* Bit 7 of the index port is the PC/AT's NMI mask; no source of NMIs hangs there. */
static void rtc_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct rtc *rtc = device;

	(void)size;
	if (offset == 0) {
		rtc->index = value & 0x7f;
	} else {
		write_register(rtc, (uint8_t)value);
	}
}

/* The clock itself has a battery: a reset changes neither it nor the RAM, only what interrupts. */
void rtc_reset(struct rtc *rtc)
{
	rtc->index = 0;
	if (rtc->ram[REG_D] != D_VALID) {
		rtc->ram[REG_A] = A_DIVIDER_RUNS | 6;
		rtc->ram[REG_B] = B_24_HOURS;
		rtc->ram[REG_D] = D_VALID;
		rtc->last_second = seconds_of(guest_ns(rtc));
		rtc->epoch = host_time(rtc->host);
	}
	rtc->ram[REG_B] &= (uint8_t) ~(B_PERIODIC | B_ALARM | B_UPDATE);
	rtc->ram[REG_C] = 0;
	rtc->last_periodic = host_time(rtc->host);
	set_timers(rtc);
	irq_set(&rtc->irq, false);
}

static void rtc_save(const void *device, struct state_writer *writer)
{
	const struct rtc *rtc = device;
	uint64_t now = host_time(rtc->host);

	state_put_u8(writer, rtc->index);
	state_put_bytes(writer, rtc->ram, sizeof(rtc->ram));
	state_put_u64(writer, (uint64_t)rtc->offset);
	state_put_u64(writer, (uint64_t)rtc->last_second);
	put_past(writer, rtc->epoch, now);
	put_past(writer, rtc->last_periodic, now);
	put_coming(writer, rtc->next_periodic, now);
	put_coming(writer, rtc->next_update, now);
}

/* Times that the clock can show, and some years more for those that it has run since. */
static bool is_shown(int64_t second)
{
	int64_t most = INT64_MAX / 2 / NS_PER_SECOND + 50 * 365 * SECONDS_PER_DAY;

	return second >= -most && second <= most;
}

/* The clock has gone on meanwhile, as the host's has: when its second ends is asked anew. */
static void rtc_load(void *device, struct state_reader *part, bool set)
{
	struct rtc *rtc = device, loaded = *rtc;
	uint64_t now = host_time(rtc->host);

	loaded.index = get_bits(part, 0x7f);
	state_bytes(part, loaded.ram, sizeof(loaded.ram));
	loaded.offset = (int64_t)state_u64(part);
	loaded.last_second = (int64_t)state_u64(part);
	loaded.epoch = get_past(part, now);
	loaded.last_periodic = get_past(part, now);
	loaded.next_periodic = get_coming(part, now);
	loaded.next_update = get_coming(part, now);
	if (!is_shown(seconds_of(guest_ns(&loaded))) || !is_shown(loaded.last_second)) {
		state_refuse(part, "has a time that no clock shows");
	} else if (loaded.next_update > now && loaded.next_update != HOST_NEVER) {
		loaded.next_update = end_of_second(&loaded, now);
	}
	if ((loaded.ram[REG_A] & A_UPDATE_IN_PROGRESS) || loaded.ram[REG_D] != D_VALID ||
	    (loaded.ram[REG_C] & ~(C_REQUEST | C_PERIODIC | C_ALARM | C_UPDATE))) {
		state_refuse(part, "has a register with bits that it does not have");
	}
	loaded.irq.level = request(&loaded);
	if (set && state_ok(part)) {
		*rtc = loaded;
	}
}

const struct device_class rtc_class = {.name = "rtc",
				       .width = 1,
				       .read = rtc_read,
				       .write = rtc_write,
				       .version = 1,
				       .save = rtc_save,
				       .load = rtc_load};
