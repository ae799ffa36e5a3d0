/*
 * What the boot loader brought. See modules.h.
 */
#include "loader/modules.h"

#include <stdbool.h>
#include <stddef.h>

#include "lib/string.h"

static bool refuse(struct refusal *refusal, const char *why, const struct module *which)
{
	refusal->why = why;
	refusal->which = which;
	return false;
}

static bool sort_image(const struct module *m, uint32_t vendor, struct roles *roles,
		       struct refusal *refusal)
{
	struct image image;
	const char *wrong = elf_parse(m->data, m->size, &image);

	if (wrong != NULL) {
		return refuse(refusal, wrong, m);
	}
	if (image.vendor != vendor) {
		return true;
	}
	if (roles->image_file != NULL) {
		return refuse(refusal, "a second hypervisor image for this processor", m);
	}
	roles->image_file = m;
	roles->image = image;
	return true;
}

static bool sort_kernel(const struct module *m, struct roles *roles, struct refusal *refusal)
{
	const char *wrong = linux_parse(m->data, m->size, &roles->kernel);

	if (wrong != NULL) {
		return refuse(refusal, wrong, m);
	}
	if (roles->kernel_file != NULL) {
		return refuse(refusal, "a second kernel for the root", m);
	}
	roles->kernel_file = m;
	return true;
}

static bool sort_one(const struct module *m, uint32_t vendor, struct roles *roles,
		     struct refusal *refusal)
{
	if (m->size == 0) {
		return refuse(refusal, "it is empty", m);
	}
	if (elf_is(m->data, m->size)) {
		return sort_image(m, vendor, roles, refusal);
	}
	if (linux_is(m->data, m->size)) {
		return sort_kernel(m, roles, refusal);
	}
	if (roles->initrd_file != NULL) {
		return refuse(
			refusal,
			"neither a hypervisor image nor a kernel, and there is an initrd already",
			m);
	}
	roles->initrd_file = m;
	return true;
}

static const char *missing_image(uint32_t vendor)
{
	return vendor == HV_IMAGE_SVM
		       ? "no hypervisor image for AMD-V; add the module hv-svm.elf"
		       : "no hypervisor image for Intel VT-x; add the module hv-vmx.elf";
}

bool modules_sort(const struct modules *modules, uint32_t vendor, struct roles *roles,
		  struct refusal *refusal)
{
	memset(roles, 0, sizeof(*roles));
	if (modules->count == 0) {
		return refuse(
			refusal,
			"no modules; add the hypervisor images, the root's kernel and its initrd",
			NULL);
	}
	for (uint32_t i = 0; i < modules->count; i++) {
		if (!sort_one(&modules->m[i], vendor, roles, refusal)) {
			return false;
		}
	}
	if (roles->image_file == NULL) {
		return refuse(refusal, missing_image(vendor), NULL);
	}
	if (roles->kernel_file == NULL) {
		return refuse(refusal, "no kernel for the root; add a Linux bzImage as a module",
			      NULL);
	}
	return true;
}

static const char *skip_word(const char *s)
{
	while (*s && *s != ' ') {
		s++;
	}
	return s;
}

static const char *skip_spaces(const char *s)
{
	while (*s == ' ') {
		s++;
	}
	return s;
}

const char *string_options(const char *string)
{
	const char *start = skip_spaces(string), *end = skip_word(start);
	bool is_path = *start == '/' || *start == '.' || *start == '(';

	for (const char *s = start; s < end && !is_path; s++) {
		if (*s == '=') {
			return start;
		}
	}
	return skip_spaces(end);
}

static uint64_t parse_size(const char *s)
{
	const char *end = skip_word(s), *at = s;
	uint64_t value = 0;

	while (at < end && *at >= '0' && *at <= '9' && value < 1ull << 32) {
		value = value * 10 + (uint64_t)(*at++ - '0');
	}
	if (at == s || value >= 1ull << 32) {
		return UINT64_MAX;
	}
	if (at < end && (*at == 'K' || *at == 'M' || *at == 'G')) {
		value <<= *at == 'K' ? 10 : *at == 'M' ? 20 : 30, at++;
	}
	return at == end ? value : UINT64_MAX;
}

uint64_t string_size_option(const char *string, const char *name)
{
	size_t length = 0;

	while (name[length]) {
		length++;
	}
	for (const char *s = skip_spaces(string); *s; s = skip_spaces(skip_word(s))) {
		size_t word = (size_t)(skip_word(s) - s);

		if (word >= length && memcmp(s, name, length) == 0) {
			return parse_size(s + length);
		}
	}
	return 0;
}
