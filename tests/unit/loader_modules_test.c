/*
 * Tests of loader/modules.c: which file is what, what is refused and in which words, and the
 * strings.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "loader/modules.h"

static uint8_t svm[0x2000], vmx[0x2000], kernel[0x1000], initrd[100];
static struct modules list;
static struct roles roles;
static struct refusal refusal;

static void make_image(uint8_t *file, uint32_t vendor)
{
	Elf64_Ehdr *h = (Elf64_Ehdr *)file;
	Elf64_Phdr *p = (Elf64_Phdr *)(h + 1);

	memset(file, 0, 0x2000);
	memcpy(h->e_ident, ELFMAG, SELFMAG);
	h->e_ident[EI_CLASS] = ELFCLASS64;
	h->e_ident[EI_DATA] = ELFDATA2LSB;
	h->e_type = ET_EXEC;
	h->e_machine = EM_X86_64;
	h->e_phoff = sizeof(*h);
	h->e_phentsize = sizeof(*p);
	h->e_phnum = 1;
	*p = (Elf64_Phdr){.p_type = PT_LOAD,
			  .p_flags = PF_X,
			  .p_offset = 0x1000,
			  .p_vaddr = HV_IMAGE_VA,
			  .p_filesz = 0x1000,
			  .p_memsz = 0x1000};
	*(struct hv_image_header *)(file + 0x1000) =
		(struct hv_image_header){HV_IMAGE_MAGIC, vendor, 0, HV_IMAGE_VA};
}

static void make_kernel(void)
{
	struct linux_setup *s = (struct linux_setup *)(kernel + 0x1f1);

	memset(kernel, 0, sizeof(kernel));
	s->setup_sects = 1;
	s->boot_flag = SETUP_BOOT_FLAG;
	s->magic = SETUP_MAGIC;
	s->version = 0x020f;
	s->loadflags = SETUP_LOADED_HIGH;
}

static void add(const uint8_t *data, uint32_t size)
{
	list.m[list.count].data = data;
	list.m[list.count++].size = size;
}

static int setup(void **state)
{
	(void)state;
	make_image(svm, HV_IMAGE_SVM);
	make_image(vmx, HV_IMAGE_VMX);
	make_kernel();
	memset(initrd, 'x', sizeof(initrd));
	list.count = 0;
	return 0;
}

static void test_by_content(void **state)
{
	(void)state;
	add(initrd, sizeof(initrd));
	add(vmx, sizeof(vmx));
	add(kernel, sizeof(kernel));
	add(svm, sizeof(svm));
	assert_true(modules_sort(&list, HV_IMAGE_SVM, &roles, &refusal));
	assert_ptr_equal(roles.image_file, &list.m[3]);
	assert_int_equal(roles.image.vendor, HV_IMAGE_SVM);
	assert_ptr_equal(roles.kernel_file, &list.m[2]);
	assert_ptr_equal(roles.initrd_file, &list.m[0]);
	assert_true(modules_sort(&list, HV_IMAGE_VMX, &roles, &refusal));
	assert_ptr_equal(roles.image_file, &list.m[1]);
}

static void test_without_initrd(void **state)
{
	(void)state;
	add(svm, sizeof(svm));
	add(kernel, sizeof(kernel));
	assert_true(modules_sort(&list, HV_IMAGE_SVM, &roles, &refusal));
	assert_null(roles.initrd_file);
}

static void assert_refused(const char *why, int which)
{
	assert_false(modules_sort(&list, HV_IMAGE_SVM, &roles, &refusal));
	assert_non_null(strstr(refusal.why, why));
	assert_ptr_equal(refusal.which, which < 0 ? NULL : &list.m[which]);
	list.count = 0;
}

static void test_missing(void **state)
{
	(void)state;
	assert_refused("no modules", -1);
	add(vmx, sizeof(vmx));
	add(kernel, sizeof(kernel));
	assert_refused("hv-svm", -1);
	add(svm, sizeof(svm));
	add(initrd, sizeof(initrd));
	assert_refused("no kernel", -1);
}

static void test_at_fault(void **state)
{
	(void)state;
	add(svm, sizeof(svm));
	add(svm, sizeof(svm));
	assert_refused("second hypervisor", 1);
	add(kernel, sizeof(kernel));
	add(kernel, sizeof(kernel));
	assert_refused("second kernel", 1);
	add(initrd, sizeof(initrd));
	add(kernel, sizeof(kernel));
	add(initrd, sizeof(initrd));
	assert_refused("initrd already", 2);
	add(svm, sizeof(svm));
	add(initrd, 0);
	assert_refused("empty", 1);
	add(svm, 0x1800);
	assert_refused("cut short", 0);
	add(kernel, 0x400);
	assert_refused("cut short", 0);
}

static void test_options(void **state)
{
	(void)state;
	assert_string_equal(string_options("vmlinuz root=/dev/sda1 ro"), "root=/dev/sda1 ro");
	assert_string_equal(string_options("root=/dev/sda1 ro"), "root=/dev/sda1 ro");
	assert_string_equal(string_options("/a=b/vmlinuz  quiet"), "quiet");
	assert_string_equal(string_options("./a=b quiet"), "quiet");
	assert_string_equal(string_options("(hd0)/a=b quiet"), "quiet");
	assert_string_equal(string_options("  vmlinuz quiet"), "quiet");
	assert_string_equal(string_options("vmlinuz"), "");
	assert_string_equal(string_options(""), "");
}

static void test_size_option(void **state)
{
	(void)state;
	assert_int_equal(string_size_option("a hv.memory=64M b", "hv.memory="), 64 << 20);
	assert_int_equal(string_size_option("hv.memory=512K", "hv.memory="), 512 << 10);
	assert_int_equal(string_size_option("hv.memory=3G", "hv.memory="), 3ull << 30);
	assert_int_equal(string_size_option("hv.memory=4096", "hv.memory="), 4096);
	assert_int_equal(string_size_option("xhv.memory=1M", "hv.memory="), 0);
	assert_int_equal(string_size_option("", "hv.memory="), 0);
	assert_int_equal(string_size_option("hv.memory=", "hv.memory="), UINT64_MAX);
	assert_int_equal(string_size_option("hv.memory=M", "hv.memory="), UINT64_MAX);
	assert_int_equal(string_size_option("hv.memory=1Mb", "hv.memory="), UINT64_MAX);
	assert_int_equal(string_size_option("hv.memory=-1", "hv.memory="), UINT64_MAX);
	assert_int_equal(string_size_option("hv.memory=18446744073709551617", "hv.memory="),
			 UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_by_content, setup),
		cmocka_unit_test_setup(test_without_initrd, setup),
		cmocka_unit_test_setup(test_missing, setup),
		cmocka_unit_test_setup(test_at_fault, setup),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_size_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
