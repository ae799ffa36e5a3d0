/* See native.h. */
#include "tests/fake/native.h"

#include <string.h>
#include <sys/mman.h>

#include "lib/check.h"

struct native native_state;
uint64_t native_stack;
void native_enter(void *code);
extern const char native_back[];

__asm__(".text\n"
	".globl native_enter, native_back\n"
	"native_enter:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, native_stack(%rip)\n"
	"	push %rdi\n"
	"	movups native_state+136(%rip), %xmm0\n"
	"	movq native_state+152(%rip), %mm0\n"
	"	pushq native_state+128(%rip)\n"
	"	popfq\n"
	"	mov native_state+0(%rip), %rax\n"
	"	mov native_state+8(%rip), %rcx\n"
	"	mov native_state+16(%rip), %rdx\n"
	"	mov native_state+24(%rip), %rbx\n"
	"	mov native_state+40(%rip), %rbp\n"
	"	mov native_state+48(%rip), %rsi\n"
	"	mov native_state+56(%rip), %rdi\n"
	"	mov native_state+64(%rip), %r8\n"
	"	mov native_state+72(%rip), %r9\n"
	"	mov native_state+80(%rip), %r10\n"
	"	mov native_state+88(%rip), %r11\n"
	"	mov native_state+96(%rip), %r12\n"
	"	mov native_state+104(%rip), %r13\n"
	"	mov native_state+112(%rip), %r14\n"
	"	mov native_state+120(%rip), %r15\n"
	"	popq native_target(%rip)\n"
	"	mov native_state+32(%rip), %rsp\n"
	"	jmp *native_target(%rip)\n"
	"native_back:\n"
	"	mov %rsp, native_state+32(%rip)\n"
	"	mov native_stack(%rip), %rsp\n"
	"	mov %rax, native_state+0(%rip)\n"
	"	mov %rcx, native_state+8(%rip)\n"
	"	mov %rdx, native_state+16(%rip)\n"
	"	mov %rbx, native_state+24(%rip)\n"
	"	mov %rbp, native_state+40(%rip)\n"
	"	mov %rsi, native_state+48(%rip)\n"
	"	mov %rdi, native_state+56(%rip)\n"
	"	mov %r8, native_state+64(%rip)\n"
	"	mov %r9, native_state+72(%rip)\n"
	"	mov %r10, native_state+80(%rip)\n"
	"	mov %r11, native_state+88(%rip)\n"
	"	mov %r12, native_state+96(%rip)\n"
	"	mov %r13, native_state+104(%rip)\n"
	"	mov %r14, native_state+112(%rip)\n"
	"	mov %r15, native_state+120(%rip)\n"
	"	pushfq\n"
	"	popq native_state+128(%rip)\n"
	"	movups %xmm0, native_state+136(%rip)\n"
	"	movq %mm0, native_state+152(%rip)\n"
	"	emms\n"
	"	cld\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".comm native_target, 8, 8\n");

void native_run(struct native *state, const uint8_t *code, unsigned int length)
{
	static uint8_t *page;
	const void *back = native_back;

	if (page == NULL) {
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(page != MAP_FAILED);
	}
	memcpy(page, code, length);
	memcpy(page + length, "\xff\x25\0\0\0\0", 6); /* jmp *0(%rip) */
	memcpy(page + length + 6, &back, 8);
	native_state = *state;
	native_enter(page);
	*state = native_state;
}
