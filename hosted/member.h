/* A member of a JSON document that may be there. */
#ifndef HOSTED_MEMBER_H
#define HOSTED_MEMBER_H

#include <jansson.h>

/* "" where there is no text. The document's, and gone with it. */
static inline const char *member_text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value != NULL ? value : "";
}

#endif
