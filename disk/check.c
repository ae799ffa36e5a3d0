/* Check and repair of one file. */
#include "disk/internal.h"

int disk_check(const char *path, enum disk_format format, bool repair, struct disk_report *report,
	       struct disk_error *error)
{
	struct layer *layer;
	int r, code;

	*report = (struct disk_report){0};
	r = layer_open(path, -1, format, repair ? 0 : DISK_READ_ONLY, report, &layer, error);
	if (r) {
		return r;
	}
	r = layer->format->check(layer, error);
	code = layer_close(&layer, r ? NULL : error);
	return r ? r : code;
}
