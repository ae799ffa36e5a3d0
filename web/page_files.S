/* The page's files, as gzip packs them. */
	.section .rodata

	.macro	file name, path
	.globl	\name\()_start, \name\()_end
\name\()_start:
	.incbin	"\path"
\name\()_end:
	.endm

	file	page_index,    "build/web/page/index.html.gz"
	file	page_style,    "build/web/page/style.css.gz"
	file	page_app,      "build/web/page/app.js.gz"
	file	page_api,      "build/web/page/api.js.gz"
	file	page_parts,    "build/web/page/parts.js.gz"
	file	page_machine,  "build/web/page/machine.js.gz"
	file	page_edit,     "build/web/page/edit.js.gz"
	file	page_files,    "build/web/page/files.js.gz"
	file	page_console,  "build/web/page/console.js.gz"
	file	page_display,  "build/web/page/display.js.gz"
	file	page_icon,     "build/web/page/icon.svg.gz"
	file	page_terminal, "build/web/page/xterm.js.gz"
	file	page_terminal_style, "build/web/page/xterm.css.gz"
	file	page_novnc,    "build/web/page/novnc.js.gz"

	.section .note.GNU-stack, "", @progbits
