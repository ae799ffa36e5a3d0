/*
 * What a machine takes along when it moves, beside what its worker carries and what lies on storage
 * that both hosts see: the files of its checkpoints. By a process in the machine's folder, `vmms
 * --luggage VERB WHAT`, at each end of the connection, which is descriptor 3, before a worker has
 * it:
 *   send:    messages, {"file": NAME, "size": N} with the file's content behind it, and at last {"end": true}; then what the other end says;
 *   receive: takes them into a folder of their own, which is nobody's yet, and says {"taken": true}, or {"why": TEXT} at any time; and makes the disks that the worker is to fill;
 *   drop:    what came is deleted, and with {"all": true} what the machine has, too.
 * A message is a length and so many bytes of JSON. A content is pieces, each with its place and
 * length; one without a length is the end. What lies in between is zeros, and so are holes of a
 * file.
 *
 * All that is received is hostile: names are an id and one of four endings, each content has a
 * limit, documents are judged as any other.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "disk/bytes.h"
#include "disk/disk.h"
#include "hosted/file.h"
#include "hosted/member.h"
#include "hosted/owner.h"
#include "hosted/say.h"
#include "hosted/whole.h"
#include "service/service.h"

#define CONNECTION    3
#define MESSAGE_MAX   (SERVICE_BODY_MAX + 1024)
#define PIECE_MAX     (256 << 10)
#define QUIET_SECONDS 600 /* a disk may take its time */
#define POINTS_MAX    1024
#define SMALL_MAX     (16 << 20) /* what firmware or a TPM keeps */

/* Of a machine that is off, and has no worker that takes them along: members of its document. */
static const char *const kept[] = {"firmware-variables", "tpm"};

/* Behind a checkpoint's id; the document comes first. */
static const struct {
	const char *ending;
	uint64_t most; /* bytes; 0: as many as there is room for */
} kinds[] = {
	{".json", SERVICE_BODY_MAX}, {".vmrs", 0}, {".variables", SMALL_MAX}, {".tpm", SMALL_MAX}};

struct piece {
	uint64_t at;
	uint32_t length, reserved;
};

static char bytes[PIECE_MAX];
static char why[400]; /* the first thing that went wrong */

__attribute__((format(printf, 1, 2))) static bool fail(const char *format, ...)
{
	va_list arguments;

	if (why[0] == '\0') {
		va_start(arguments, format);
		(void)vsnprintf(why, sizeof(why), format, arguments);
		va_end(arguments);
		say("%s", why);
	}
	return false;
}

static bool fail_at(const char *what, int error)
{
	return fail("%s: %s%s", what, strerror(error),
		    error == ENOSPC || error == EDQUOT ? "; make room there" : "");
}

static bool cut(void)
{
	return fail("the connection was cut before all had come");
}

/* ---- Messages ---- */

static bool send_bytes(const void *from, size_t length)
{
	return whole_send(CONNECTION, from, length) == 0 || cut();
}

static bool receive_bytes(void *to, size_t length)
{
	return whole_read(CONNECTION, to, length) == 0 || cut();
}

/* Takes it. */
static bool send_message(json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);
	uint32_t length = text != NULL ? (uint32_t)strlen(text) : 0;
	bool sent = text != NULL && send_bytes(&length, sizeof(length)) && send_bytes(text, length);

	json_decref(message);
	free(text);
	return sent;
}

/* NULL: said why. */
static json_t *receive_message(void)
{
	static char text[MESSAGE_MAX];
	struct form form = {0};
	uint32_t length;
	json_t *message;

	if (!receive_bytes(&length, sizeof(length))) {
		return NULL;
	}
	if (length > sizeof(text)) {
		fail("a message is longer than there are any");
		return NULL;
	}
	if (!receive_bytes(text, length)) {
		return NULL;
	}
	message = form_parse(&form, text, length);
	if (!json_is_object(message)) {
		json_decref(message);
		message = NULL;
		fail("what is connected is no service that sends a machine");
	}
	return message;
}

/* ---- Sent ---- */

static bool send_piece(const char *from, uint64_t at, size_t length)
{
	const struct piece piece = {.at = at, .length = (uint32_t)length};

	return send_bytes(&piece, sizeof(piece)) && (length == 0 || send_bytes(from, length));
}

static bool send_range(const char *path, int fd, uint64_t at, uint64_t end)
{
	while (at < end) {
		size_t most = end - at < PIECE_MAX ? (size_t)(end - at) : PIECE_MAX;
		ssize_t got = pread(fd, bytes, most, (off_t)at);

		if (got <= 0) {
			return fail_at(path, got < 0 ? errno : EIO);
		}
		if (!send_piece(bytes, at, (size_t)got)) {
			return false;
		}
		at += (uint64_t)got;
	}
	return true;
}

/* What is no hole. */
static bool send_content(const char *path, int fd, uint64_t size)
{
	uint64_t at = 0, end = 0;
	int ret;

	while ((ret = file_next_data(fd, size, &at, &end)) > 0) {
		if (!send_range(path, fd, at, end)) {
			return false;
		}
		at = end;
	}
	if (ret < 0) {
		return fail_at(path, -ret);
	}
	return send_piece(NULL, size, 0);
}

/* One that is not there is not sent. */
static bool send_file(const char *name, const char *path)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat file;
	bool sent;

	if (fd < 0) {
		return errno == ENOENT || fail_at(path, errno);
	}
	sent = (fstat(fd, &file) == 0 && S_ISREG(file.st_mode)) || fail_at(path, EINVAL);
	sent = sent &&
	       send_message(
		       json_pack("{s:s, s:I}", "file", name, "size", (json_int_t)file.st_size)) &&
	       send_content(path, fd, (uint64_t)file.st_size);
	close(fd);
	return sent;
}

static bool send_text(const char *name, const char *text)
{
	size_t length = strlen(text);

	return send_message(json_pack("{s:s, s:I}", "file", name, "size", (json_int_t)length)) &&
	       send_piece(text, 0, length) && send_piece(NULL, length, 0);
}

/* Its document first, in which no file is relative to this folder. */
static bool send_point(const char *folder, const char *id, const json_t *point)
{
	char name[UUID_TEXT + 16], path[PATH_MAX];
	json_t *copy = json_copy((json_t *)point);
	char *text;
	bool sent;

	json_object_set_new(copy, "document",
			    offer_paths(json_object_get(point, "document"), folder));
	text = json_dumps(copy, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	snprintf(name, sizeof(name), "%s.json", id);
	sent = text != NULL && send_text(name, text);
	for (size_t i = 1; sent && i < ARRAY_COUNT(kinds); i++) {
		snprintf(name, sizeof(name), "%s%s", id, kinds[i].ending);
		snprintf(path, sizeof(path), TREE_FOLDER "/%s", name);
		sent = send_file(name, path);
	}
	json_decref(copy);
	free(text);
	return sent;
}

/* What the other end says, also of what it did not take to its end. */
static bool is_taken(void)
{
	json_t *answer;
	bool taken;

	why[0] = '\0';
	answer = receive_message();
	taken = json_is_true(json_object_get(answer, "taken"));
	if (answer != NULL && !taken) {
		fail("the other host says: %.300s", member_text(answer, "why"));
	}
	json_decref(answer);
	return taken;
}

static bool send_all(const json_t *wanted)
{
	json_t *machine = json_load_file(FILE_DOCUMENT, JSON_REJECT_DUPLICATES, NULL),
	       *points = tree_read("."), *point;
	const char *id;
	bool sent = machine != NULL || fail_at(FILE_DOCUMENT, EINVAL);

	json_object_foreach(points, id, point)
	{
		sent = sent && send_point(member_text(wanted, "folder"), id, point);
	}
	for (size_t i = 0; sent && i < ARRAY_COUNT(kept); i++) {
		const char *file = member_text(machine, kept[i]);

		sent = !json_is_true(json_object_get(wanted, "off")) || file[0] == '\0' ||
		       send_file(kept[i], file);
	}
	json_decref(machine);
	sent = sent && send_message(json_pack("{s:b}", "end", true));
	json_decref(points);
	return is_taken() && sent;
}

/* ---- Received ---- */

static bool receive_piece(const char *name, int fd, const struct piece *piece, uint64_t size)
{
	const char *from = bytes;
	uint32_t left = piece->length;
	uint64_t at = piece->at;
	ssize_t done;

	if (left > PIECE_MAX || at > size || left > size - at) {
		return fail("%s: a piece of it is outside of it", name);
	}
	if (!receive_bytes(bytes, left)) {
		return false;
	}
	while (left != 0) {
		done = pwrite(fd, from, left, (off_t)at);
		if (done <= 0) {
			return fail_at(name, done < 0 ? errno : ENOSPC);
		}
		from += done;
		left -= (uint32_t)done;
		at += (uint64_t)done;
	}
	return true;
}

static bool receive_content(const char *name, int fd, uint64_t size)
{
	struct piece piece;

	do {
		if (!receive_bytes(&piece, sizeof(piece)) ||
		    !receive_piece(name, fd, &piece, size)) {
			return false;
		}
	} while (piece.length != 0);
	return (ftruncate(fd, (off_t)size) == 0 && fsync(fd) == 0) || fail_at(name, errno);
}

static bool receive_file(int folder, const char *name, uint64_t size)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	bool received;

	if (fd < 0) {
		return fail_at(name, errno);
	}
	received = receive_content(name, fd, size);
	close(fd);
	return received;
}

/* A checkpoint's document is a machine's, of which this host would make one. */
static bool judge_point(const char *name, const char *path)
{
	json_t *point = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	json_t *document = json_object_get(point, "document");
	struct settings settings = {0};
	const char *elsewhere = NULL;
	struct refusal refusal = {.detail = "damaged"};
	bool good = tree_is_point(point) && json_object_get(document, "arrival") == NULL &&
		    json_object_get(document, "departure") == NULL &&
		    settings_read(&settings, json_incref(document), &refusal);

	if (good) {
		elsewhere = firmware_files_elsewhere(document);
	}
	settings_free(&settings);
	json_decref(point);
	if (elsewhere != NULL) {
		return fail("%s: its %s is outside of the machine's folder", name, elsewhere);
	}
	return good || fail("%s: is no checkpoint: %s", name, refusal.detail);
}

/* Which of the kinds a name is of, that this host would give itself; ARRAY_COUNT(kinds): of
 * none. */
static size_t kind_of(const char *name)
{
	size_t i, length = strlen(name);

	for (i = 0; i < UUID_TEXT - 1 && i < length; i++) {
		if (strchr("0123456789abcdef-", name[i]) == NULL) {
			return ARRAY_COUNT(kinds);
		}
	}
	for (i = 0; i < ARRAY_COUNT(kinds); i++) {
		if (length > UUID_TEXT - 1 && strcmp(name + UUID_TEXT - 1, kinds[i].ending) == 0) {
			break;
		}
	}
	return i;
}

static bool is_kept(const char *name)
{
	bool is = false;

	for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
		is |= strcmp(name, kept[i]) == 0;
	}
	return is;
}

static bool receive_one(int folder, const json_t *message, unsigned int *points, bool off)
{
	const char *name = member_text(message, "file");
	json_int_t size = json_integer_value(json_object_get(message, "size"));
	size_t kind = kind_of(name);
	char document[UUID_TEXT + 16], path[PATH_MAX];

	if (off && is_kept(name) && size >= 0 && size <= SMALL_MAX) {
		return receive_file(folder, name, (uint64_t)size);
	}
	if (kind == ARRAY_COUNT(kinds) || size < 0 ||
	    (kinds[kind].most != 0 && (uint64_t)size > kinds[kind].most)) {
		return fail("%.100s: no file of a checkpoint, or too long", name);
	}
	snprintf(document, sizeof(document), "%.36s.json", name);
	if (kind == 0 && ++*points > POINTS_MAX) {
		return fail("there are more than %d checkpoints", POINTS_MAX);
	}
	if (kind != 0 && faccessat(folder, document, F_OK, 0) != 0) {
		return fail("%s: its checkpoint has not come", name);
	}
	snprintf(path, sizeof(path), LUGGAGE_FOLDER "/%s", name);
	return (file_has_room(LUGGAGE_FOLDER, (uint64_t)size) || fail_at(name, ENOSPC)) &&
	       receive_file(folder, name, (uint64_t)size) && (kind != 0 || judge_point(name, path));
}

static bool receive_files(int folder, bool off)
{
	unsigned int points = 0;
	bool good = true, ends = false;

	while (good && !ends) {
		json_t *message = receive_message();

		ends = json_is_true(json_object_get(message, "end"));
		good = message != NULL && (ends || receive_one(folder, message, &points, off));
		json_decref(message);
	}
	return good;
}

/* Of one that is off: all of it is here, and so it can be this host's. Whoever comes later, its
 * source among them, reads that it is. */
static bool is_ours(const json_t *wanted)
{
	const char *path = member_text(wanted, "owner"), *text = member_text(wanted, "token");
	enum owner whose = OWNER_NOBODY;
	struct guid token;
	int fd, ret;

	if (text[0] == '\0') {
		return true;
	}
	if (guid_parse(text, &token) != 0) {
		return fail("its token is none");
	}
	fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		return fail_at(path, errno);
	}
	ret = owner_ask(fd, token.bytes, OWNER_TARGET, &whose);
	close(fd);
	return (ret == 0 && whose == OWNER_TARGET) || (ret != 0 && fail_at(path, -ret)) ||
	       fail("the source has kept it");
}

/* ---- Disks that come along ---- */

/*
 * Each is made, for the worker, which fills it. It has two names: by the one in LUGGAGE_DISKS it is
 * known that it is of this move, and nothing that was there before.
 */
static bool make_disk(const char *name, const json_t *described)
{
	struct disk_error error;
	struct disk_create how;
	char path[PATH_MAX];

	if (!offer_make(described, &how)) {
		return fail("%s: it is a disk of no kind that is known here", name);
	}
	snprintf(path, sizeof(path), LUGGAGE_DISKS "/%s", name);
	if (disk_create(path, &how, &error) != 0) {
		return fail("%s", error.text);
	}
	return (chmod(path, 0640) == 0 && link(path, name) == 0) || fail_at(name, errno);
}

static bool make_disks(const json_t *wanted)
{
	json_t *storage = json_object_get(wanted, "storage"), *described;
	const char *path = member_text(wanted, "owner"), *name;
	int fd;

	if (storage == NULL) {
		return true;
	}
	/* This side's own file; what decides is at the source. */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		return fail_at(path, errno);
	}
	close(fd);
	if (mkdir(LUGGAGE_DISKS, 0750) != 0) {
		return fail_at(LUGGAGE_DISKS, errno);
	}
	json_object_foreach(storage, name, described)
	{
		if (!make_disk(name, described)) {
			return false;
		}
	}
	return true;
}

/* They are the machine's (`keep`), or nobody's. Once more is right. */
static void end_disks(int folder, bool keep)
{
	int made = openat(folder, LUGGAGE_DISKS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *files = made >= 0 ? fdopendir(made) : NULL;
	const struct dirent *entry;
	struct stat first, second;

	while (files != NULL && (entry = readdir(files)) != NULL) {
		const char *name = entry->d_name;

		if (!keep && fstatat(made, name, &first, AT_SYMLINK_NOFOLLOW) == 0 &&
		    fstatat(folder, name, &second, AT_SYMLINK_NOFOLLOW) == 0 &&
		    file_is_same(&first, &second)) {
			(void)unlinkat(folder, name, 0);
		}
		(void)unlinkat(made, name, 0);
	}
	if (files != NULL) {
		closedir(files);
	}
	(void)unlinkat(folder, LUGGAGE_DISKS, AT_REMOVEDIR);
}

/* Of a machine that has gone with them, as far as nobody else needs them. */
static void delete_disks(const json_t *wanted)
{
	const json_t *elsewhere = json_object_get(wanted, "elsewhere"), *name;
	size_t i;

	json_array_foreach(json_object_get(wanted, "disks"), i, name)
	{
		const char *file = json_string_value(name);

		if (file != NULL && access(file, F_OK) == 0 && !file_is_parent(file, elsewhere)) {
			(void)unlink(file);
		}
	}
}

static bool receive_all(const json_t *wanted)
{
	bool received;
	int folder;

	/* Of one that was cut, when no document was there any more. */
	tree_remove_folder(LUGGAGE_FOLDER);
	end_disks(AT_FDCWD, false);
	folder = mkdir(LUGGAGE_FOLDER, 0750) == 0
			 ? open(LUGGAGE_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			 : -1;
	received = folder >= 0 || fail_at(LUGGAGE_FOLDER, errno);
	received = received && make_disks(wanted) &&
		   receive_files(folder, json_is_true(json_object_get(wanted, "off"))) &&
		   (fsync(folder) == 0 || fail_at(LUGGAGE_FOLDER, errno)) && is_ours(wanted);
	if (folder >= 0) {
		close(folder);
	}
	if (received) {
		return send_message(json_pack("{s:b}", "taken", true));
	}
	(void)send_message(json_pack("{s:s}", "why", why));
	return false;
}

static bool drop(const json_t *wanted)
{
	tree_remove_folder(LUGGAGE_FOLDER);
	end_disks(AT_FDCWD, false);
	if (json_is_true(json_object_get(wanted, "all"))) {
		tree_remove_folder(TREE_FOLDER);
		delete_disks(wanted);
	}
	return true;
}

/* ---- The process ---- */

/* It comes as it was watched by the service: who has it next finds it so. */
static int set_blocking(bool blocking)
{
	int flags = fcntl(CONNECTION, F_GETFL);

	return flags < 0 ? flags
			 : fcntl(CONNECTION, F_SETFL,
				 blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

static bool connected(bool (*run)(const json_t *wanted), const json_t *wanted)
{
	static const struct timeval quiet = {.tv_sec = QUIET_SECONDS};
	int flags = fcntl(CONNECTION, F_GETFL);
	bool done;

	(void)signal(SIGPIPE, SIG_IGN);
	if (flags < 0 || set_blocking(true) != 0) {
		return fail_at("the connection", errno);
	}
	(void)setsockopt(CONNECTION, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof(quiet));
	(void)setsockopt(CONNECTION, SOL_SOCKET, SO_SNDTIMEO, &quiet, sizeof(quiet));
	done = run(wanted);
	if (flags & O_NONBLOCK) {
		(void)set_blocking(false);
	}
	return done;
}

int luggage_main(int argc, char **argv)
{
	json_t *wanted = argc == 4 ? json_loads(argv[3], 0, NULL) : NULL;
	bool done = false;

	say_set_name("vmms");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (wanted == NULL) {
		return 2;
	}
	if (strcmp(argv[2], "send") == 0) {
		done = connected(send_all, wanted);
	} else if (strcmp(argv[2], "receive") == 0) {
		done = connected(receive_all, wanted);
	} else if (strcmp(argv[2], "drop") == 0) {
		done = drop(wanted);
	}
	json_decref(wanted);
	return done ? 0 : 1;
}

/* ---- In the service ---- */

bool luggage_keep(struct machine *machine, struct refusal *refusal)
{
	char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX];
	int at;

	if (!machine_path(machine, LUGGAGE_FOLDER, from) ||
	    !machine_path(machine, TREE_FOLDER, to) || !machine_path(machine, "", folder)) {
		return refuse(refusal, SERVICE_BAD_IO, "", "'%s': the path is too long",
			      machine->name);
	}
	for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
		const char *name = member_text(machine->settings.document, kept[i]);
		char kept_from[PATH_MAX + 32], kept_to[PATH_MAX];

		snprintf(kept_from, sizeof(kept_from), "%s/%s", from, kept[i]);
		if (name[0] != '\0' && machine_path(machine, name, kept_to) &&
		    rename(kept_from, kept_to) != 0 && errno != ENOENT) {
			return refuse(refusal, SERVICE_BAD_IO, "", "%s: %s", kept_to,
				      strerror(errno));
		}
	}
	at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at >= 0) {
		end_disks(at, true);
		close(at);
	}
	/* Without checkpoints it has none. */
	if (rmdir(from) != 0 && errno == ENOTEMPTY && rename(from, to) != 0) {
		return refuse(refusal, SERVICE_BAD_IO, "", "%s: %s", to, strerror(errno));
	}
	json_decref(machine->points);
	machine->points = tree_read(folder);
	return true;
}

bool luggage_is_left(const struct machine *machine)
{
	char path[PATH_MAX];

	return machine_path(machine, TREE_FOLDER, path) && rmdir(path) != 0 && errno != ENOENT;
}
