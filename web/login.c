/* PAM. It asks for nothing but a password: what asks more is refused. */
#include <stdlib.h>
#include <string.h>

#include <security/pam_appl.h>

#include "web/web.h"

static int converse(int count, const struct pam_message **messages, struct pam_response **responses,
		    void *password)
{
	struct pam_response *answers = calloc((size_t)count, sizeof(*answers));

	if (answers == NULL) {
		return PAM_BUF_ERR;
	}
	for (int i = 0; i < count; i++) {
		if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF) {
			answers[i].resp = strdup(password);
		} else if (messages[i]->msg_style == PAM_PROMPT_ECHO_ON) {
			for (int j = 0; j < i; j++) {
				free(answers[j].resp);
			}
			free(answers);
			return PAM_CONV_ERR;
		}
	}
	*responses = answers;
	return PAM_SUCCESS;
}

bool login_check(const char *service, const char *user, const char *password, const char *address)
{
	char secret[PASSWORD_MAX];
	const struct pam_conv conversation = {converse, secret};
	const void *name = NULL;
	pam_handle_t *pam;
	bool taken;

	memcpy(secret, password, sizeof(secret));
	if (pam_start(service, user, &conversation, &pam) != PAM_SUCCESS) {
		return false;
	}
	taken = pam_set_item(pam, PAM_RHOST, address) == PAM_SUCCESS &&
		pam_authenticate(pam, PAM_DISALLOW_NULL_AUTHTOK) == PAM_SUCCESS &&
		pam_acct_mgmt(pam, PAM_DISALLOW_NULL_AUTHTOK) == PAM_SUCCESS &&
		/* A module may call him otherwise; we do not. */
		pam_get_item(pam, PAM_USER, &name) == PAM_SUCCESS && name != NULL &&
		strcmp(name, user) == 0;
	pam_end(pam, taken ? PAM_SUCCESS : PAM_AUTH_ERR);
	explicit_bzero(secret, sizeof(secret));
	return taken;
}
