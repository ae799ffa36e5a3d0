/* Which files of a folder are told of as disks. */
#ifndef HOSTED_DISK_NAME_H
#define HOSTED_DISK_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "lib/check.h"

/* By the end of its name, in letters of either case. */
static inline bool disk_name_is_one(const char *name)
{
	static const char *const ends[] = {".vhdx", ".vhd", ".avhdx", ".avhd",
					   ".img",  ".raw", ".iso"};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot != NULL && i < ARRAY_COUNT(ends); i++) {
		if (strcasecmp(dot, ends[i]) == 0) {
			return true;
		}
	}
	return false;
}

#endif
