/* The message facility. */
#include "disk/error.h"

#include <stdarg.h>

int error_set(struct disk_error *error, int code, const char *format, ...)
{
	va_list args;

	if (error != NULL) {
		error->code = code;
		va_start(args, format);
		vsnprintf(error->text, sizeof(error->text), format, args);
		va_end(args);
	}
	return code;
}
