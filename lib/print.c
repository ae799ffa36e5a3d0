#include "lib/print.h"

#include <stdbool.h>
#include <stdint.h>

struct out {
	char *buffer;
	size_t size, used;
};

static void put(struct out *out, char c)
{
	if (out->used + 1 < out->size) {
		out->buffer[out->used++] = c;
	}
}

static void put_number(struct out *out, uint64_t value, unsigned int base, unsigned int width,
		       char fill, bool negative)
{
	char digits[24];
	unsigned int count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (negative) {
		digits[count++] = '-';
	}
	for (; width > count; width--) {
		put(out, fill);
	}
	while (count) {
		put(out, digits[--count]);
	}
}

static void put_string(struct out *out, const char *text, unsigned int width)
{
	unsigned int count = 0;

	for (text = text != NULL ? text : "(null)"; *text; text++, count++) {
		put(out, *text);
	}
	for (; count < width; count++) {
		put(out, ' ');
	}
}

static uint64_t take(va_list *arguments, unsigned int longs, bool is_signed)
{
	if (longs >= 2) {
		return va_arg(*arguments, unsigned long long);
	}
	if (longs == 1) {
		return is_signed ? (uint64_t)va_arg(*arguments, long)
				 : va_arg(*arguments, unsigned long);
	}
	return is_signed ? (uint64_t)(int64_t)va_arg(*arguments, int)
			 : va_arg(*arguments, unsigned int);
}

/* One conversion; `format` stands behind the '%'. Returns where the text goes on. */
static const char *convert(struct out *out, const char *format, va_list *arguments)
{
	unsigned int width = 0, longs = 0;
	char fill = *format == '0' ? '0' : ' ';
	uint64_t value;

	for (; *format >= '0' && *format <= '9'; format++) {
		width = width * 10 + (unsigned int)(*format - '0');
	}
	for (; *format == 'l' || *format == 'z'; format++) {
		longs++;
	}
	switch (*format) {
	case 's':
		put_string(out, va_arg(*arguments, const char *), width);
		break;
	case 'c':
		put(out, (char)va_arg(*arguments, int));
		break;
	case 'd':
		value = take(arguments, longs, true);
		put_number(out, (int64_t)value < 0 ? -value : value, 10, width, fill,
			   (int64_t)value < 0);
		break;
	case 'u':
		put_number(out, take(arguments, longs, false), 10, width, fill, false);
		break;
	case 'x':
		put_number(out, take(arguments, longs, false), 16, width, fill, false);
		break;
	case 'p':
		put_number(out, (uintptr_t)va_arg(*arguments, void *), 16, 2 * sizeof(void *), '0',
			   false);
		break;
	case '\0':
		return format;
	default:
		put(out, *format);
		break;
	}
	return format + 1;
}

size_t print_format(char *buffer, size_t size, const char *format, va_list arguments)
{
	struct out out = {.buffer = buffer, .size = size};
	va_list copy;

	if (size == 0) {
		return 0;
	}
	va_copy(copy, arguments);
	while (*format) {
		if (*format != '%') {
			put(&out, *format++);
		} else {
			format = convert(&out, format + 1, &copy);
		}
	}
	va_end(copy);
	buffer[out.used] = '\0';
	return out.used;
}
