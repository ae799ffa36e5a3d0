/* VHDX: the parent locator, an item of the metadata (MS-VHDX 2.6.2.6). */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/layer.h"

#include <errno.h>
#include <string.h>

static const struct guid locator_vhdx = {{0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7,
					  0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13}};

struct locator_header { /* 2.6.2.6.1 */
	struct guid type;
	uint16_t reserved;
	uint16_t count;
};
static_assert(sizeof(struct locator_header) == 20, "MS-VHDX 2.6.2.6.1");

struct locator_entry { /* 2.6.2.6.2 */
	uint32_t key_offset, value_offset;
	uint16_t key_length, value_length;
};
static_assert(sizeof(struct locator_entry) == 12, "MS-VHDX 2.6.2.6.2");

/* The string has to lie within the item, wherever the entry says that it is. */
static int take_string(const uint8_t *item, uint32_t length, uint32_t offset, uint32_t bytes,
		       char *out, size_t size)
{
	if (bytes % 2 || offset > length || bytes > length - offset) {
		return -EINVAL;
	}
	return utf16_to_utf8(item + offset, bytes / 2, false, out, size);
}

/* The keys of 2.6.2.6.3 that say something here. Of a path that is there twice the first counts. */
static int take_pair(struct layer *layer, const char *key, const char *value)
{
	char **path = NULL;
	struct guid guid;

	if (!strcmp(key, "parent_linkage") || !strcmp(key, "parent_linkage2")) {
		if (guid_parse(value, &guid)) {
			return -EINVAL;
		}
		guid_print(&guid, key[14] ? layer->parent_id_2 : layer->parent_id);
		return 0;
	}
	if (!strcmp(key, "relative_path")) {
		path = &layer->parent_path;
	} else if (!strcmp(key, "absolute_win32_path")) {
		path = &layer->parent_path_2;
	}
	if (path != NULL && *path == NULL) {
		*path = strdup(value);
		return *path != NULL ? 0 : -ENOMEM;
	}
	return 0;
}

/* -EINVAL or -EILSEQ: it makes no sense; -EOPNOTSUPP: it is of another kind than VHDX's own. */
int vhdx_parse_locator(struct layer *layer, const uint8_t *item, uint32_t length)
{
	struct locator_header header;
	char key[64], value[4096];
	unsigned i;
	int ret = 0;

	if (length < sizeof(header)) {
		return -EINVAL;
	}
	memcpy(&header, item, sizeof(header));
	if (memcmp(&header.type, &locator_vhdx, sizeof(header.type))) {
		return -EOPNOTSUPP;
	}
	if (header.count > 256 ||
	    sizeof(header) + header.count * sizeof(struct locator_entry) > length) {
		return -EINVAL;
	}
	for (i = 0; i < header.count && !ret; i++) {
		struct locator_entry e;

		memcpy(&e, item + sizeof(header) + i * sizeof(e), sizeof(e));
		ret = take_string(item, length, e.key_offset, e.key_length, key, sizeof(key));
		if (ret == -ENAMETOOLONG) { /* not a key that is known here */
			ret = 0;
			continue;
		}
		if (!ret) {
			ret = take_string(item, length, e.value_offset, e.value_length, value,
					  sizeof(value));
		}
		if (!ret) {
			ret = take_pair(layer, key, value);
		}
	}
	return ret ? ret : layer->parent_id[0] ? 0 : -EINVAL;
}

/* The entries stand behind the header, with room for four; the strings follow behind that room. */
struct locator_builder {
	uint8_t *item;
	uint32_t used, count;
};

static int add_string(struct locator_builder *b, const char *text, uint32_t *offset,
		      uint16_t *length)
{
	int n = utf8_to_utf16(text, false, b->item + b->used, VHDX_LOCATOR_MAX - b->used);

	if (n < 0 || n > UINT16_MAX) {
		return n < 0 ? n : -ENAMETOOLONG;
	}
	*offset = b->used;
	*length = (uint16_t)n;
	b->used += (uint32_t)n;
	return 0;
}

static int add_pair(struct locator_builder *b, const char *key, const char *value)
{
	struct locator_entry entry;
	int ret = add_string(b, key, &entry.key_offset, &entry.key_length);

	ret = ret ? ret : add_string(b, value, &entry.value_offset, &entry.value_length);
	if (!ret) {
		memcpy(b->item + sizeof(struct locator_header) + b->count++ * sizeof(entry), &entry,
		       sizeof(entry));
	}
	return ret;
}

/* In braces, as Windows writes them. */
static int add_guid(struct locator_builder *b, const char *key, const struct guid *guid)
{
	char text[GUID_TEXT], braced[GUID_TEXT + 2];

	guid_print(guid, text);
	snprintf(braced, sizeof(braced), "{%s}", text);
	return add_pair(b, key, braced);
}

/*
 * Windows' programs want backslashes; a name of this system that begins with a slash stays
 * recognizable.
 */
static int add_path(struct locator_builder *b, const char *key, const char *path,
		    const char *prefix)
{
	char text[4096];
	char *p;

	if (snprintf(text, sizeof(text), "%s%s", prefix, path) >= (int)sizeof(text)) {
		return -ENAMETOOLONG;
	}
	for (p = text; *p; p++) {
		*p = *p == '/' ? '\\' : *p;
	}
	return add_pair(b, key, text);
}

/*
 * Returns the item's length, or what is wrong. Two identities while the parent is about to change:
 * either is right then.
 */
int vhdx_build_locator(uint8_t *item, const char *absolute, const char *relative,
		       const struct guid *linkage, const struct guid *linkage_2)
{
	struct locator_builder b = {.item = item,
				    .used = sizeof(struct locator_header) +
					    4 * sizeof(struct locator_entry)};
	struct locator_header header = {.type = locator_vhdx};
	int ret;

	memset(item, 0, VHDX_LOCATOR_MAX);
	ret = add_guid(&b, "parent_linkage", linkage);
	if (!ret && linkage_2 != NULL) {
		ret = add_guid(&b, "parent_linkage2", linkage_2);
	}
	if (!ret && relative != NULL) {
		ret = add_path(&b, "relative_path", relative, relative[0] == '.' ? "" : "./");
	}
	if (!ret && absolute != NULL) {
		ret = add_path(&b, "absolute_win32_path", absolute, "");
	}
	header.count = (uint16_t)b.count;
	memcpy(item, &header, sizeof(header));
	return ret ? ret : (int)b.used;
}
