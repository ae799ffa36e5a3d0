/* The API's document, as GET /v1/openapi answers it. */
	.section .rodata
	.globl	openapi_start, openapi_end
openapi_start:
	.incbin	"include/mgmt/openapi.json"
openapi_end:
	.section .note.GNU-stack, "", @progbits
