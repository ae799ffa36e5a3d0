/* What sessions and tokens are known by: 256 random bits, of which only a hash is kept. And how a
 * client shows them. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "web/web.h"

static void print_hex(const uint8_t *bytes, size_t count, char *text)
{
	for (size_t i = 0; i < count; i++) {
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	}
}

bool secret_make(char text[SECRET_TEXT])
{
	uint8_t bytes[SECRET_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
		return false;
	}
	print_hex(bytes, sizeof(bytes), text);
	return true;
}

bool secret_is_well_formed(const char *text)
{
	return strspn(text, "0123456789abcdef") == SECRET_TEXT - 1 && text[SECRET_TEXT - 1] == '\0';
}

static void hash_text(const char *prefix, const char *text, char hash[HASH_TEXT])
{
	char whole[SECRET_TEXT + 16];
	uint8_t bytes[HASH_BYTES];
	int length = snprintf(whole, sizeof(whole), "%s%.*s", prefix, SECRET_TEXT - 1, text);

	CHECK(gnutls_hash_fast(GNUTLS_DIG_SHA256, whole, (size_t)length, bytes) == 0);
	print_hex(bytes, sizeof(bytes), hash);
}

void secret_hash(const char *text, char hash[HASH_TEXT])
{
	hash_text("", text, hash);
}

void secret_csrf(const char *session, char csrf[HASH_TEXT])
{
	hash_text("csrf:", session, csrf);
}

void secret_fingerprint(const gnutls_datum_t *der, char text[SECRET_TEXT])
{
	uint8_t bytes[HASH_BYTES];

	CHECK(gnutls_hash_fast(GNUTLS_DIG_SHA256, der->data, der->size, bytes) == 0);
	print_hex(bytes, sizeof(bytes), text);
}

void secret_certificate(gnutls_session_t session, struct secret *secret, struct shown *shown)
{
	unsigned int count = 0;
	const gnutls_datum_t *peers = gnutls_certificate_get_peers(session, &count);
	gnutls_x509_crt_t crt;

	*secret = (struct secret){.kind = SECRET_NONE};
	*shown = (struct shown){.size = 0};
	if (peers == NULL || count == 0 || gnutls_x509_crt_init(&crt) < 0) {
		return;
	}
	if (gnutls_x509_crt_import(crt, &peers[0], GNUTLS_X509_FMT_DER) >= 0) {
		secret->kind = SECRET_CERTIFICATE;
		secret_fingerprint(&peers[0], secret->text);
		shown->from = gnutls_x509_crt_get_activation_time(crt);
		shown->to = gnutls_x509_crt_get_expiration_time(crt);
		if (peers[0].size <= CERTIFICATE_MAX) {
			shown->size = peers[0].size;
			memcpy(shown->der, peers[0].data, peers[0].size);
		}
	}
	gnutls_x509_crt_deinit(crt);
}

bool secret_is_same(const char *a, const char *b, size_t length)
{
	return gnutls_memcmp(a, b, length) == 0;
}

static bool take(struct secret *secret, enum secret_kind kind, const char *text, size_t length)
{
	if (length != SECRET_TEXT - 1) {
		return false;
	}
	memcpy(secret->text, text, length);
	secret->text[length] = '\0';
	if (!secret_is_well_formed(secret->text)) {
		return false;
	}
	secret->kind = kind;
	return true;
}

/* RFC 6265: NAME=VALUE; NAME=VALUE. The first of our name counts. */
static void read_cookie(const char *cookie, struct secret *secret)
{
	size_t name = strlen(SESSION_COOKIE), length;

	while (*cookie != '\0') {
		cookie += strspn(cookie, "; ");
		length = strcspn(cookie, ";");
		if (length > name && cookie[name] == '=' &&
		    memcmp(cookie, SESSION_COOKIE, name) == 0) {
			(void)take(secret, SECRET_SESSION, cookie + name + 1, length - name - 1);
			return;
		}
		cookie += length;
	}
}

void secret_read(const char *authorization, const char *cookie, struct secret *secret)
{
	*secret = (struct secret){.kind = SECRET_NONE};
	if (authorization != NULL) {
		/* Who shows a token that is none is not somebody else by his cookie. */
		if (strncasecmp(authorization, "Bearer ", 7) == 0) {
			authorization += 7;
			(void)take(secret, SECRET_TOKEN, authorization, strlen(authorization));
		}
	} else if (cookie != NULL) {
		read_cookie(cookie, secret);
	}
}
