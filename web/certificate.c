/* The key and the certificate: given, or made at the first start and signed by itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "hosted/say.h"
#include "web/web.h"

#define PATH_ROOM    4096
#define DAYS         3650
#define SERIAL_BYTES 16

bool store_make(const char *store)
{
	char path[PATH_ROOM];
	char *slash = path;

	if (snprintf(path, sizeof(path), "%s", store) >= (int)sizeof(path)) {
		say("%s: the path is too long", store);
		return false;
	}
	while ((slash = strchr(slash + 1, '/')) != NULL) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		say("%s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

/* A key's file is never readable by others, not for a moment. */
static bool write_file(const char *path, mode_t mode, const gnutls_datum_t *text)
{
	char new_path[PATH_ROOM + 8];
	bool written;
	int fd;

	snprintf(new_path, sizeof(new_path), "%s.new", path);
	(void)unlink(new_path);
	fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	written = fd >= 0 && write(fd, text->data, text->size) == (ssize_t)text->size &&
		  fsync(fd) == 0 && rename(new_path, path) == 0;
	if (!written) {
		say("%s: %s", path, strerror(errno));
	}
	if (fd >= 0) {
		close(fd);
	}
	return written;
}

static int describe(gnutls_x509_crt_t made, gnutls_x509_privkey_t key)
{
	static const uint8_t loopback4[4] = {127, 0, 0, 1};
	static const uint8_t loopback6[16] = {[15] = 1};
	uint8_t serial[SERIAL_BYTES];
	char host[256] = "localhost";
	int ret;

	(void)gethostname(host, sizeof(host) - 1);
	ret = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
	serial[0] &= 0x7f;
	/* Each of them is 0 or a negative code. */
	ret = ret < 0 ? ret : gnutls_x509_crt_set_version(made, 3);
	ret = ret < 0 ? ret : gnutls_x509_crt_set_serial(made, serial, sizeof(serial));
	ret = ret < 0 ? ret : gnutls_x509_crt_set_activation_time(made, time(NULL) - 3600);
	ret = ret < 0 ? ret : gnutls_x509_crt_set_expiration_time(made, time(NULL) + DAYS * 86400L);
	ret = ret < 0 ? ret
		      : gnutls_x509_crt_set_dn_by_oid(made, GNUTLS_OID_X520_COMMON_NAME, 0, host,
						      (unsigned int)strlen(host));
	ret = ret < 0 ? ret
		      : gnutls_x509_crt_set_subject_alt_name(made, GNUTLS_SAN_DNSNAME, host,
							     (unsigned int)strlen(host),
							     GNUTLS_FSAN_SET);
	ret = ret < 0 ? ret
		      : gnutls_x509_crt_set_subject_alt_name(made, GNUTLS_SAN_DNSNAME, "localhost",
							     9, GNUTLS_FSAN_APPEND);
	ret = ret < 0 ? ret
		      : gnutls_x509_crt_set_subject_alt_name(made, GNUTLS_SAN_IPADDRESS, loopback4,
							     4, GNUTLS_FSAN_APPEND);
	ret = ret < 0 ? ret
		      : gnutls_x509_crt_set_subject_alt_name(made, GNUTLS_SAN_IPADDRESS, loopback6,
							     16, GNUTLS_FSAN_APPEND);
	ret = ret < 0 ? ret : gnutls_x509_crt_set_basic_constraints(made, 0, -1);
	ret = ret < 0 ? ret : gnutls_x509_crt_set_key_usage(made, GNUTLS_KEY_DIGITAL_SIGNATURE);
	ret = ret < 0 ? ret
		      : gnutls_x509_crt_set_key_purpose_oid(made, GNUTLS_KP_TLS_WWW_SERVER, 0);
	ret = ret < 0 ? ret : gnutls_x509_crt_set_key(made, key);
	return ret < 0 ? ret : gnutls_x509_crt_sign2(made, made, key, GNUTLS_DIG_SHA256, 0);
}

static bool make(const char *chain_path, const char *key_path)
{
	gnutls_datum_t key_text = {0}, chain_text = {0};
	gnutls_x509_privkey_t key = NULL;
	gnutls_x509_crt_t made = NULL;
	bool done = false;
	int ret;

	ret = gnutls_x509_privkey_init(&key);
	ret = ret < 0 ? ret : gnutls_x509_crt_init(&made);
	ret = ret < 0 ? ret
		      : gnutls_x509_privkey_generate(
				key, GNUTLS_PK_ECDSA,
				GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	ret = ret < 0 ? ret : describe(made, key);
	ret = ret < 0 ? ret : gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &key_text);
	ret = ret < 0 ? ret : gnutls_x509_crt_export2(made, GNUTLS_X509_FMT_PEM, &chain_text);
	if (ret < 0) {
		say("a certificate cannot be made: %s", gnutls_strerror(ret));
	} else {
		done = write_file(key_path, 0600, &key_text) &&
		       write_file(chain_path, 0644, &chain_text);
	}
	gnutls_free(key_text.data);
	gnutls_free(chain_text.data);
	gnutls_x509_crt_deinit(made);
	gnutls_x509_privkey_deinit(key);
	return done;
}

/* The text becomes the caller's, with an end behind it. */
static bool load_file(const char *path, gnutls_datum_t *text)
{
	int ret = gnutls_load_file(path, text);

	if (ret < 0) {
		say("%s: %s", path, gnutls_strerror(ret));
	}
	return ret >= 0;
}

static int print_fingerprint(struct certificate *certificate)
{
	gnutls_x509_crt_t crt;
	uint8_t hash[HASH_BYTES];
	size_t size = sizeof(hash);
	int ret = gnutls_x509_crt_init(&crt);

	if (ret < 0) {
		return ret;
	}
	ret = gnutls_x509_crt_import(crt, &certificate->chain, GNUTLS_X509_FMT_PEM);
	if (ret >= 0) {
		ret = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, hash, &size);
	}
	for (size_t i = 0; ret >= 0 && i < sizeof(hash); i++) {
		snprintf(certificate->fingerprint + 3 * i, 4, "%02X%s", hash[i],
			 i + 1 < sizeof(hash) ? ":" : "");
	}
	gnutls_x509_crt_deinit(crt);
	return ret;
}

/* What cannot be served later is said now. */
static bool is_usable(struct certificate *certificate, const char *chain_path)
{
	gnutls_certificate_credentials_t credentials;
	int ret = gnutls_certificate_allocate_credentials(&credentials);

	if (ret >= 0) {
		ret = gnutls_certificate_set_x509_key_mem(credentials, &certificate->chain,
							  &certificate->key, GNUTLS_X509_FMT_PEM);
		gnutls_certificate_free_credentials(credentials);
	}
	ret = ret < 0 ? ret : print_fingerprint(certificate);
	if (ret < 0) {
		say("%s: %s; give a certificate and its key, as PEM", chain_path,
		    gnutls_strerror(ret));
	}
	return ret >= 0;
}

bool certificate_load(struct certificate *certificate, const char *store,
		      const char *certificate_file, const char *key_file)
{
	char chain_path[PATH_ROOM], key_path[PATH_ROOM];

	if (certificate_file == NULL) {
		if (snprintf(chain_path, PATH_ROOM, "%s/certificate.pem", store) >= PATH_ROOM ||
		    snprintf(key_path, PATH_ROOM, "%s/key.pem", store) >= PATH_ROOM) {
			say("%s: the path is too long", store);
			return false;
		}
		if ((access(chain_path, F_OK) != 0 || access(key_path, F_OK) != 0) &&
		    !make(chain_path, key_path)) {
			return false;
		}
		certificate_file = chain_path;
		key_file = key_path;
	}
	return load_file(certificate_file, &certificate->chain) &&
	       load_file(key_file, &certificate->key) && is_usable(certificate, certificate_file);
}
