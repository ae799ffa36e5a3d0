/*
 * Tokens: who shows one is the user whom it was made for, until it expires or is removed. The file
 * has names and hashes:
 *   {"NAME": {"user": "...", "hash": "...", "made": seconds, "expires": seconds, "machine": "...", "certificate": "..."}}
 * With "certificate", as PEM, it is that which is shown, by TLS, and the hash is its fingerprint's.
 * With "machine" it is for that one alone. One with "authority" has no hash, and is for those whom
 * that has signed (authority.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <gnutls/x509.h>
#include <jansson.h>

#include "hosted/say.h"
#include "web/web.h"

#define PATH_ROOM  4096
#define TOKENS_MAX 1024

static bool token_path(const char *store, const char *end, char path[PATH_ROOM])
{
	return snprintf(path, PATH_ROOM, "%s/tokens.json%s", store, end) < PATH_ROOM;
}

/* NULL: said why. No file is no token. */
json_t *token_load(const char *store)
{
	char path[PATH_ROOM];
	json_error_t error;
	json_t *tokens;

	if (!token_path(store, "", path)) {
		say("%s: the path is too long", store);
		return NULL;
	}
	if (access(path, F_OK) != 0 && errno == ENOENT) {
		return json_object();
	}
	tokens = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(tokens)) {
		say("%s: %s", path, tokens != NULL ? "it is no object" : error.text);
		json_decref(tokens);
		return NULL;
	}
	return tokens;
}

/* Beside the old one, and then in its place. */
static bool save(const char *store, const json_t *tokens)
{
	char path[PATH_ROOM], new_path[PATH_ROOM];
	bool saved;
	FILE *file;
	int fd;

	if (!token_path(store, "", path) || !token_path(store, ".new", new_path)) {
		say("%s: the path is too long", store);
		return false;
	}
	fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	file = fd >= 0 ? fdopen(fd, "w") : NULL;
	saved = file != NULL && json_dumpf(tokens, file, JSON_INDENT(2) | JSON_SORT_KEYS) == 0 &&
		fputc('\n', file) != EOF && fflush(file) == 0 && fsync(fd) == 0 &&
		rename(new_path, path) == 0;
	if (!saved) {
		say("%s: %s", new_path, strerror(errno));
	}
	if (file != NULL) {
		fclose(file);
	} else if (fd >= 0) {
		close(fd);
	}
	return saved;
}

static bool holds(const json_t *token, bool is_certificate, const char *hash, time_t now)
{
	const char *own = json_string_value(json_object_get(token, "hash"));

	return own != NULL && (json_object_get(token, "certificate") != NULL) == is_certificate &&
	       strlen(own) == HASH_TEXT - 1 && secret_is_same(own, hash, HASH_TEXT - 1) &&
	       json_integer_value(json_object_get(token, "expires")) > now &&
	       json_string_length(json_object_get(token, "user")) - 1 < USER_MAX - 1;
}

bool token_find(const char *store, const struct secret *secret, struct token *found)
{
	json_t *tokens = token_load(store), *token;
	const char *key, *machine;
	char hash[HASH_TEXT];
	bool is_found = false;

	secret_hash(secret->text, hash);
	json_object_foreach(tokens, key, token)
	{
		machine = json_string_value(json_object_get(token, "machine"));
		/* A scope that cannot be is none that may be left out. */
		if (!is_found &&
		    holds(token, secret->kind == SECRET_CERTIFICATE, hash, time(NULL)) &&
		    (json_object_get(token, "machine") == NULL ||
		     (machine != NULL && machine[0] != '\0' && strlen(machine) < MACHINE_MAX))) {
			is_found = true;
			snprintf(found->name, USER_MAX, "%s", key);
			snprintf(found->user, USER_MAX, "%s",
				 json_string_value(json_object_get(token, "user")));
			snprintf(found->machine, MACHINE_MAX, "%s", machine != NULL ? machine : "");
		}
	}
	json_decref(tokens);
	return is_found;
}

char *token_certificates(const char *store)
{
	json_t *tokens = token_load(store), *token;
	char *all = NULL;
	size_t size;
	FILE *to = open_memstream(&all, &size);
	const char *key;

	json_object_foreach(tokens, key, token)
	{
		const char *one = json_string_value(json_object_get(token, "certificate")),
			   *by = json_string_value(json_object_get(token, "authority"));

		if (to != NULL && (one != NULL || by != NULL)) {
			fprintf(to, "%s\n", one != NULL ? one : by);
		}
	}
	if (to != NULL) {
		fclose(to);
	}
	json_decref(tokens);
	return all;
}

/* One at a time changes the file; the lock is the process'. -1: said why. */
static int lock(const char *store)
{
	int fd = store_make(store) ? open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
		say("%s: %s", store, strerror(errno));
		close(fd);
		fd = -1;
	}
	return fd;
}

bool token_name_is_good(const char *name)
{
	size_t length =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return length != 0 && length < USER_MAX && name[length] == '\0';
}

/* A client's certificate, as PEM, its fingerprint and its end. False: said why. */
static bool read_certificate(const char *path, char text[SECRET_TEXT], gnutls_datum_t *pem,
			     json_int_t *expires)
{
	gnutls_datum_t file = {NULL, 0}, der = {NULL, 0};
	gnutls_x509_crt_t crt = NULL;
	int ret = gnutls_x509_crt_init(&crt);

	ret = ret < 0 ? ret : gnutls_load_file(path, &file);
	ret = ret < 0 ? ret : gnutls_x509_crt_import(crt, &file, GNUTLS_X509_FMT_PEM);
	ret = ret < 0 ? ret : gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der);
	ret = ret < 0 ? ret : gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, pem);
	if (ret < 0) {
		say("%s: %s; give a certificate as PEM", path, gnutls_strerror(ret));
	} else {
		secret_fingerprint(&der, text);
		*expires = (json_int_t)gnutls_x509_crt_get_expiration_time(crt);
	}
	if (ret >= 0 && *expires <= (json_int_t)time(NULL)) {
		say("%s: it has expired; give one that has not", path);
		ret = -1;
	}
	gnutls_free(file.data);
	gnutls_free(der.data);
	gnutls_x509_crt_deinit(crt);
	return ret >= 0;
}

static bool add_authority(json_t *tokens, const struct token *wanted, unsigned int days,
			  const char *path)
{
	json_int_t now = (json_int_t)time(NULL), expires = now + (json_int_t)days * 86400, end = 0;
	json_t *pem = authority_read(path, &end), *token;

	if (pem == NULL) {
		return false;
	}
	token = json_pack("{s:o, s:I, s:I}", "authority", pem, "made", now, "expires",
			  end < expires ? end : expires);
	if (wanted->user[0] != '\0') {
		json_object_set_new(token, "user", json_string(wanted->user));
	}
	if (wanted->machine[0] != '\0') {
		json_object_set_new(token, "machine", json_string(wanted->machine));
	}
	return json_object_set_new(tokens, wanted->name, token) == 0;
}

static bool add(json_t *tokens, const struct token *wanted, unsigned int days,
		const char *certificate, const char *authority, char text[SECRET_TEXT])
{
	json_int_t now = (json_int_t)time(NULL), expires = now + (json_int_t)days * 86400,
		   end = expires;
	gnutls_datum_t pem = {NULL, 0};
	char hash[HASH_TEXT];
	json_t *token;

	if (json_object_get(tokens, wanted->name) != NULL) {
		say("there is a token '%s' already; remove it, or give another name", wanted->name);
		return false;
	}
	if (json_object_size(tokens) >= TOKENS_MAX) {
		say("there are %d tokens already; remove some", TOKENS_MAX);
		return false;
	}
	if (authority != NULL) {
		size_t count = 0;
		const char *key;

		json_object_foreach(tokens, key, token)
		{
			count += json_object_get(token, "authority") != NULL;
		}
		if (count >= AUTHORITIES_MAX) {
			say("there are %d authorities already; remove some", AUTHORITIES_MAX);
			return false;
		}
		text[0] = '\0';
		return add_authority(tokens, wanted, days, authority);
	}
	if (certificate != NULL) {
		if (!read_certificate(certificate, text, &pem, &end)) {
			return false;
		}
	} else if (!secret_make(text)) {
		say("no random numbers: %s", strerror(errno));
		return false;
	}
	secret_hash(text, hash);
	token = json_pack("{s:s, s:s, s:I, s:I}", "user", wanted->user, "hash", hash, "made", now,
			  "expires", end < expires ? end : expires);
	if (wanted->machine[0] != '\0') {
		json_object_set_new(token, "machine", json_string(wanted->machine));
	}
	if (certificate != NULL) {
		json_object_set_new(token, "certificate",
				    json_stringn((const char *)pem.data, pem.size));
		gnutls_free(pem.data);
	}
	return json_object_set_new(tokens, wanted->name, token) == 0;
}

int token_add(const char *store, const struct token *wanted, unsigned int days,
	      const char *certificate, const char *authority)
{
	char text[SECRET_TEXT];
	json_t *tokens = NULL;
	bool added;
	int fd;

	if (!token_name_is_good(wanted->name)) {
		say("%s: not a token's name; take letters, digits, '.', '_' and '-'", wanted->name);
		return EXIT_FAILURE;
	}
	if ((authority == NULL || wanted->user[0] != '\0') && getpwnam(wanted->user) == NULL) {
		say("there is no user '%s' on this host", wanted->user);
		return EXIT_FAILURE;
	}
	fd = lock(store);
	tokens = fd >= 0 ? token_load(store) : NULL;
	added = tokens != NULL && add(tokens, wanted, days, certificate, authority, text) &&
		save(store, tokens);
	if (added && text[0] != '\0') {
		puts(text);
	}
	json_decref(tokens);
	if (fd >= 0) {
		close(fd);
	}
	return added ? EXIT_SUCCESS : EXIT_FAILURE;
}

int token_list(const char *store)
{
	json_t *tokens = token_load(store), *token;
	const char *name, *user, *machine;
	char date[32] = "";
	time_t expires;
	bool by;

	if (tokens == NULL) {
		return EXIT_FAILURE;
	}
	printf("%-24s %-16s %-12s %-20s %s\n", "NAME", "USER", "SHOWN BY", "MACHINE", "EXPIRES");
	json_object_foreach(tokens, name, token)
	{
		user = json_string_value(json_object_get(token, "user"));
		expires = (time_t)json_integer_value(json_object_get(token, "expires"));
		strftime(date, sizeof(date), "%F %T", localtime(&expires));
		machine = json_string_value(json_object_get(token, "machine"));
		by = json_object_get(token, "authority") != NULL;
		printf("%-24s %-16s %-12s %-20s %s%s\n", name,
		       user != NULL ? user
		       : by         ? "by its name"
				    : "?",
		       by                                              ? "authority"
		       : json_object_get(token, "certificate") != NULL ? "certificate"
								       : "text",
		       machine != NULL ? machine : "all", date,
		       expires <= time(NULL) ? " (expired)" : "");
	}
	json_decref(tokens);
	return EXIT_SUCCESS;
}

int token_remove(const char *store, const char *name)
{
	int fd = lock(store);
	json_t *tokens = fd >= 0 ? token_load(store) : NULL;
	bool removed = false;

	if (tokens != NULL && json_object_del(tokens, name) != 0) {
		say("there is no token '%s'; `vweb token list` shows them", name);
	} else if (tokens != NULL) {
		removed = save(store, tokens);
	}
	json_decref(tokens);
	if (fd >= 0) {
		close(fd);
	}
	return removed ? EXIT_SUCCESS : EXIT_FAILURE;
}

int token_revoke(const char *store, const char *name, const char *path)
{
	int fd = lock(store);
	json_t *tokens = fd >= 0 ? token_load(store) : NULL, *token, *list = NULL;
	bool done = false;

	token = json_object_get(tokens, name);
	if (tokens != NULL && token == NULL) {
		say("there is no token '%s'; `vweb token list` shows them", name);
	} else if (token != NULL) {
		list = authority_read_revocations(token, path);
		done = list != NULL && json_object_set_new(token, "revocations", list) == 0 &&
		       save(store, tokens);
	}
	json_decref(tokens);
	if (fd >= 0) {
		close(fd);
	}
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
