/* A picture as a PNG file, by libpng's simplified interface. */
#include <errno.h>
#include <png.h>
#include <string.h>

#include "cli/png.h"

bool picture_write(const struct picture *picture, const char *path)
{
	png_image image = {.version = PNG_IMAGE_VERSION,
			   .width = picture->width,
			   .height = picture->height,
			   .format = PNG_FORMAT_RGB};

	errno = 0;
	return png_image_write_to_file(&image, path, 0, picture->pixels, 0, NULL) != 0;
}
