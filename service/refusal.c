/* What is said to who asked for what cannot be. */
#include <stdarg.h>
#include <stdio.h>

#include "service/service.h"

bool refuse(struct refusal *why, const char *code, const char *remedy, const char *detail, ...)
{
	va_list arguments;

	*why = (struct refusal){.code = code};
	va_start(arguments, detail);
	vsnprintf(why->detail, sizeof(why->detail), detail, arguments);
	va_end(arguments);
	snprintf(why->remedy, sizeof(why->remedy), "%s", remedy);
	return false;
}

bool refuse_form(struct refusal *why, const struct form_error *error)
{
	*why = (struct refusal){.code = SERVICE_BAD_INVALID};
	form_print(error, false, why->detail, sizeof(why->detail));
	snprintf(why->remedy, sizeof(why->remedy), "%s", error->remedy);
	snprintf(why->field, sizeof(why->field), "%s", error->field);
	return false;
}

/* What was cut, or came from a log, may be no UTF-8. */
static json_t *text(const char *of)
{
	json_t *string = json_string(of);
	char plain[600];
	size_t i;

	if (string != NULL) {
		return string;
	}
	for (i = 0; of[i] != '\0' && i < sizeof(plain) - 1; i++) {
		plain[i] = of[i] >= ' ' && of[i] <= '~' ? of[i] : '?';
	}
	plain[i] = '\0';
	return json_string(plain);
}

json_t *refusal_object(const struct refusal *why)
{
	json_t *object = json_pack("{s:s, s:o}", "code", why->code, "detail", text(why->detail));

	if (why->remedy[0] != '\0') {
		json_object_set_new(object, "remedy", text(why->remedy));
	}
	if (why->field[0] != '\0') {
		json_object_set_new(object, "field", text(why->field));
	}
	return object;
}
