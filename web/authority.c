/*
 * Authorities: who shows a certificate that one of them has signed is a user of this host. They are
 * tokens of the same file (token.c):
 *   {"NAME": {"authority": PEM, "revocations": PEM, "user": "...", "machine": "...", "made": seconds, "expires": seconds}}
 * Without "user" it is the certificate's common name that says who it is, and that is never root.
 * With "revocations" what is on that list is refused, and everything once the list is out of date.
 *
 * A client's certificate is read by a process without rights, which says no more than by which
 * authority it holds, and the name that it has.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gnutls/x509.h>
#include <jansson.h>

#include "hosted/say.h"
#include "web/web.h"

#define JUDGE_SECONDS 10
#define UNKNOWN       "it is not registered here, and of no authority that is"

struct authority {
	const char *name;
	const json_t *token;
	gnutls_x509_trust_list_t trust;
	time_t list_until; /* its list of revocations is good until then; 0: for ever, or there is none */
	bool is_broken; /* it, or the list, cannot be read */
};

/* What the process without rights says. */
struct word {
	int32_t authority; /* -1: none */
	char name[USER_MAX];
	char why[AUTHORITY_WHY];
};

/* ---- What the administrator has said ---- */

static bool add_revocations(struct authority *authority, const char *pem)
{
	const gnutls_datum_t text = {(unsigned char *)pem, (unsigned int)strlen(pem)};
	gnutls_x509_crl_t list;

	if (gnutls_x509_crl_init(&list) < 0) {
		return false;
	}
	if (gnutls_x509_crl_import(list, &text, GNUTLS_X509_FMT_PEM) < 0) {
		gnutls_x509_crl_deinit(list);
		return false;
	}
	authority->list_until = gnutls_x509_crl_get_next_update(list);
	authority->list_until = authority->list_until > 0 ? authority->list_until : 0;
	/* Whose it is was seen when it was given to us (token_revoke()). */
	return gnutls_x509_trust_list_add_crls(authority->trust, &list, 1, 0, 0) == 1;
}

static void read_authority(struct authority *authority)
{
	const char *pem = json_string_value(json_object_get(authority->token, "authority"));
	const json_t *revocations = json_object_get(authority->token, "revocations");
	const gnutls_datum_t text = {(unsigned char *)pem, (unsigned int)strlen(pem)};
	const char *list = json_string_value(revocations);

	authority->is_broken =
		gnutls_x509_trust_list_init(&authority->trust, 0) < 0 ||
		gnutls_x509_trust_list_add_trust_mem(authority->trust, &text, NULL,
						     GNUTLS_X509_FMT_PEM, 0, 0) != 1 ||
		(revocations != NULL && (list == NULL || !add_revocations(authority, list)));
}

/* Those that hold now. */
static size_t read_authorities(const json_t *tokens, struct authority *authorities, size_t most)
{
	const char *name;
	const json_t *token;
	size_t count = 0;

	json_object_foreach((json_t *)tokens, name, token)
	{
		if (count < most && json_is_string(json_object_get(token, "authority")) &&
		    json_integer_value(json_object_get(token, "expires")) > time(NULL)) {
			authorities[count] = (struct authority){.name = name, .token = token};
			read_authority(&authorities[count++]);
		}
	}
	return count;
}

bool authority_is_there(const char *store)
{
	json_t *tokens = token_load(store), *token;
	const char *name;
	bool there = false;

	json_object_foreach(tokens, name, token)
	{
		there |= json_object_get(token, "authority") != NULL;
	}
	json_decref(tokens);
	return there;
}

/* ---- Without rights ---- */

static const char *why_not(unsigned int status)
{
	return status & GNUTLS_CERT_REVOKED            ? "it is revoked"
	       : status & GNUTLS_CERT_EXPIRED          ? "it has expired"
	       : status & GNUTLS_CERT_NOT_ACTIVATED    ? "it is not valid yet"
	       : status & GNUTLS_CERT_SIGNER_NOT_FOUND ? NULL
	       : status & GNUTLS_CERT_PURPOSE_MISMATCH ? "it is not for clients"
						       : "its signature, or what it says, is wrong";
}

/* False: it is not by that one. Why not is in the word, if it would be. */
static bool is_by(const struct authority *authority, gnutls_x509_crt_t crt, struct word *word)
{
	gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
					 .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
	unsigned int status = 0;
	const char *why;

	if (authority->is_broken) {
		snprintf(word->why, sizeof(word->why), "an authority here cannot be read: %.40s",
			 authority->name);
		return false;
	}
	if (gnutls_x509_trust_list_verify_crt2(authority->trust, &crt, 1, &purpose, 1, 0, &status,
					       NULL) >= 0 &&
	    status == 0) {
		if (authority->list_until == 0 || authority->list_until > time(NULL)) {
			return true;
		}
		snprintf(word->why, sizeof(word->why),
			 "its authority's list of revocations is out of date");
		return false;
	}
	why = why_not(status);
	if (why != NULL) {
		snprintf(word->why, sizeof(word->why), "%s", why);
	}
	return false;
}

static void judge(const struct authority *authorities, size_t count, const uint8_t *der,
		  uint32_t size, struct word *word)
{
	const gnutls_datum_t text = {(unsigned char *)der, size};
	size_t length = sizeof(word->name);
	gnutls_x509_crt_t crt;

	if (gnutls_x509_crt_init(&crt) < 0 ||
	    gnutls_x509_crt_import(crt, &text, GNUTLS_X509_FMT_DER) < 0) {
		snprintf(word->why, sizeof(word->why), "it is no certificate");
		return;
	}
	for (size_t i = 0; i < count && word->authority < 0; i++) {
		word->authority = is_by(&authorities[i], crt, word) ? (int32_t)i : -1;
	}
	if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, word->name,
					  &length) < 0) {
		word->name[0] = '\0';
	}
}

static _Noreturn void judge_and_say(const struct authority *authorities, size_t count,
				    const uint8_t *der, uint32_t size, int to)
{
	struct word word = {.authority = -1, .why = UNKNOWN};

	alarm(JUDGE_SECONDS);
	/* Nothing else of ours is left open to it. */
	if (dup2(to, STDIN_FILENO) == STDIN_FILENO && close_range(3, ~0u, 0) == 0 &&
	    sandbox_enter()) {
		judge(authorities, count, der, size, &word);
		(void)!write(STDIN_FILENO, &word, sizeof(word));
	}
	_exit(0);
}

/* ---- With rights again ---- */

static bool ask_judge(const struct authority *authorities, size_t count, const uint8_t *der,
		      uint32_t size, struct word *word)
{
	int ends[2], status;
	ssize_t got = -1;
	pid_t process;

	if (pipe(ends) != 0) {
		return false;
	}
	process = fork();
	if (process == 0) {
		close(ends[0]);
		judge_and_say(authorities, count, der, size, ends[1]);
	}
	close(ends[1]);
	if (process > 0) {
		got = read(ends[0], word, sizeof(*word));
		(void)waitpid(process, &status, 0);
	}
	close(ends[0]);
	word->name[USER_MAX - 1] = '\0';
	word->why[AUTHORITY_WHY - 1] = '\0';
	return got == (ssize_t)sizeof(*word) && word->authority >= -1 &&
	       word->authority < (int32_t)count;
}

static bool take_user(const struct authority *authority, const char *name, struct token *token,
		      char why[AUTHORITY_WHY])
{
	const char *user = json_string_value(json_object_get(authority->token, "user")),
		   *machine = json_string_value(json_object_get(authority->token, "machine"));
	const struct passwd *who;

	if (json_object_get(authority->token, "user") == NULL) {
		who = token_name_is_good(name) ? getpwnam(name) : NULL;
		if (who == NULL || who->pw_uid == 0) {
			snprintf(why, AUTHORITY_WHY,
				 who == NULL ? "its common name is no user's here"
					     : "no certificate is root's by its name");
			return false;
		}
		user = name;
	}
	/* A scope that cannot be is none that may be left out. */
	if (user == NULL || user[0] == '\0' || strlen(user) >= USER_MAX ||
	    (json_object_get(authority->token, "machine") != NULL &&
	     (machine == NULL || machine[0] == '\0' || strlen(machine) >= MACHINE_MAX))) {
		snprintf(why, AUTHORITY_WHY, "the token of its authority is damaged");
		return false;
	}
	snprintf(token->name, USER_MAX, "%s", authority->name);
	snprintf(token->user, USER_MAX, "%s", user);
	snprintf(token->machine, MACHINE_MAX, "%s", machine != NULL ? machine : "");
	return true;
}

bool authority_find(const char *store, const uint8_t *der, uint32_t size, struct token *token,
		    char why[AUTHORITY_WHY])
{
	static struct authority authorities[AUTHORITIES_MAX];
	json_t *tokens = token_load(store);
	size_t count = read_authorities(tokens, authorities, AUTHORITIES_MAX);
	struct word word;
	bool found = false;

	snprintf(why, AUTHORITY_WHY, "%s", UNKNOWN);
	if (count != 0 && !ask_judge(authorities, count, der, size, &word)) {
		snprintf(why, AUTHORITY_WHY, "it could not be looked at");
	} else if (count != 0 && word.authority < 0) {
		snprintf(why, AUTHORITY_WHY, "%s", word.why);
	} else if (count != 0) {
		found = take_user(&authorities[word.authority], word.name, token, why);
	}
	for (size_t i = 0; i < count; i++) {
		gnutls_x509_trust_list_deinit(authorities[i].trust, 1);
	}
	json_decref(tokens);
	return found;
}

/* ---- The verbs ---- */

/* Of a file of PEM; NULL: said why. */
static gnutls_x509_crt_t read_crt(const gnutls_datum_t *text, const char *where)
{
	gnutls_x509_crt_t crt = NULL;
	int ret = gnutls_x509_crt_init(&crt);

	ret = ret < 0 ? ret : gnutls_x509_crt_import(crt, text, GNUTLS_X509_FMT_PEM);
	if (ret < 0) {
		say("%s: %s; give a certificate as PEM", where, gnutls_strerror(ret));
		gnutls_x509_crt_deinit(crt);
		return NULL;
	}
	return crt;
}

json_t *authority_read(const char *path, json_int_t *expires)
{
	gnutls_datum_t file = {NULL, 0}, pem = {NULL, 0};
	gnutls_x509_crt_t crt;
	json_t *text = NULL;

	if (gnutls_load_file(path, &file) < 0) {
		say("%s: %s", path, strerror(errno));
		return NULL;
	}
	crt = read_crt(&file, path);
	gnutls_free(file.data);
	if (crt == NULL) {
		return NULL;
	}
	*expires = (json_int_t)gnutls_x509_crt_get_expiration_time(crt);
	if (gnutls_x509_crt_get_ca_status(crt, NULL) != 1) {
		say("%s: it is not an authority's; --client-certificate takes a client's own",
		    path);
	} else if (*expires <= (json_int_t)time(NULL)) {
		say("%s: it has expired; give one that has not", path);
	} else if (gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) >= 0) {
		text = json_stringn((const char *)pem.data, pem.size);
		gnutls_free(pem.data);
	}
	gnutls_x509_crt_deinit(crt);
	return text;
}

json_t *authority_read_revocations(const json_t *token, const char *path)
{
	const char *own = json_string_value(json_object_get(token, "authority"));
	gnutls_datum_t file = {NULL, 0}, pem = {NULL, 0}, authority;
	gnutls_x509_crl_t list = NULL;
	gnutls_x509_crt_t crt = NULL;
	unsigned int status = 0;
	json_t *text = NULL;

	if (own == NULL) {
		say("that token is no authority; one is made by --client-authority");
		return NULL;
	}
	if (gnutls_load_file(path, &file) < 0) {
		say("%s: %s", path, strerror(errno));
		return NULL;
	}
	authority = (gnutls_datum_t){(unsigned char *)own, (unsigned int)strlen(own)};
	if (gnutls_x509_crl_init(&list) < 0 ||
	    gnutls_x509_crl_import(list, &file, GNUTLS_X509_FMT_PEM) < 0) {
		say("%s: it is no list of revocations as PEM", path);
	} else if ((crt = read_crt(&authority, "tokens.json")) != NULL) {
		if (gnutls_x509_crl_verify(list, &crt, 1, 0, &status) < 0 ||
		    (status & (GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNER_NOT_FOUND))) {
			say("%s: it is %s", path,
			    status & GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED
				    ? "out of date; give a newer one"
				    : "not signed by that authority");
		} else if (gnutls_x509_crl_export2(list, GNUTLS_X509_FMT_PEM, &pem) >= 0) {
			text = json_stringn((const char *)pem.data, pem.size);
			gnutls_free(pem.data);
		}
	}
	gnutls_free(file.data);
	gnutls_x509_crl_deinit(list);
	gnutls_x509_crt_deinit(crt);
	return text;
}
