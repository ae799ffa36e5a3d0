/* The page's files and where they are served. */
#include <string.h>

#include "web/web.h"

#define FILES(F)                                                                                   \
	F(index, "/", "text/html; charset=utf-8")                                                  \
	F(style, "/style.css", "text/css")                                                         \
	F(app, "/app.js", "text/javascript")                                                       \
	F(api, "/api.js", "text/javascript")                                                       \
	F(parts, "/parts.js", "text/javascript")                                                   \
	F(machine, "/machine.js", "text/javascript")                                               \
	F(edit, "/edit.js", "text/javascript")                                                     \
	F(files, "/files.js", "text/javascript")                                                   \
	F(console, "/console.js", "text/javascript")                                               \
	F(display, "/display.js", "text/javascript")                                               \
	F(icon, "/icon.svg", "image/svg+xml")                                                      \
	F(terminal, "/xterm.js", "text/javascript")                                                \
	F(terminal_style, "/xterm.css", "text/css")                                                \
	F(novnc, "/novnc.js", "text/javascript")

#define DECLARE(name, path, type) extern const uint8_t page_##name##_start[], page_##name##_end[];
#define ROW(name, path, type)     {path, type, page_##name##_start, page_##name##_end},

FILES(DECLARE)

static const struct file files[] = {FILES(ROW)};

const struct file *page_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		if (strcmp(files[i].path, path) == 0) {
			return &files[i];
		}
	}
	return NULL;
}
