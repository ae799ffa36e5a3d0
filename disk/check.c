/* Check and repair of one file. */
#include "disk/internal.h"

int disk_check(const char *path, enum disk_format format, bool repair, struct disk_report *report,
	       struct disk_error *error)
{
	struct layer *layer;
	int ret, code;

	*report = (struct disk_report){0};
	ret = layer_open(path, -1, format, repair ? 0 : DISK_READ_ONLY, report, &layer, error);
	if (ret) {
		return ret;
	}
	ret = layer->format->check(layer, error);
	code = layer_close(&layer, ret ? NULL : error);
	return ret ? ret : code;
}
