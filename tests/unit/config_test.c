/* worker/config.c, config_read.c: the command line, a document, and what is said of a wrong one. */
#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/config.h"

static struct config config;
static char said[2048]; /* standard error, of the last call */

/* Words after "vmwp", separated by spaces. */
static enum config_result parse(const char *words)
{
	static char text[4096]; /* what was parsed points into it */
	char *argv[200] = {"vmwp"};
	int argc = 1, saved = dup(STDERR_FILENO), pipes[2];
	enum config_result result;
	ssize_t length;

	strcpy(text, words);
	for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
		argv[argc++] = word;
	}
	optind = 0;
	config_destroy(&config);
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	close(pipes[1]);
	result = config_parse(&config, argc, argv);
	if (result == CONFIG_OK && !config_fits_host(&config)) {
		result = CONFIG_BAD;
	}
	dup2(saved, STDERR_FILENO);
	close(saved);
	length = read(pipes[0], said, sizeof(said) - 1);
	said[length > 0 ? length : 0] = '\0';
	close(pipes[0]);
	return result;
}

static void bad(const char *words, const char *named)
{
	assert_int_equal(parse(words), CONFIG_BAD);
	assert_non_null(strstr(said, named));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
}

#define GOOD "--name a --kernel k --memory 64M --vps 2 "

static void everything_given(void **state)
{
	(void)state;
	assert_int_equal(parse("--name vm --kernel k --initrd i --append x=y --memory 2G --vps 240 "
			       "--serial file:/x --on-reset exit"),
			 CONFIG_OK);
	assert_string_equal(said, "");
	assert_true(config.memory == 2ull << 30);
	assert_int_equal(config.vps, 240);
	assert_int_equal(config.serial, SERIAL_FILE);
	assert_string_equal(config.serial_file.path, "/x");
	assert_int_equal(config.serial_file.fd, -1);
	assert_int_equal(config.on_reset, ON_RESET_EXIT);
}

static void defaults(void **state)
{
	(void)state;
	assert_int_equal(parse(GOOD), CONFIG_OK);
	assert_null(config.initrd.path);
	assert_string_equal(config.append, "");
	assert_int_equal(config.serial, SERIAL_STDIO);
	assert_int_equal(config.on_reset, ON_RESET_REBOOT);
	assert_false(config.debug_exit);
	assert_int_equal(parse(GOOD "--debug-exit"), CONFIG_OK);
	assert_true(config.debug_exit);
	assert_int_equal(parse(GOOD "--serial unix:/run/s"), CONFIG_OK);
	assert_int_equal(config.serial, SERIAL_UNIX);
}

static void missing_options(void **state)
{
	(void)state;
	bad("--kernel k --memory 64M --vps 2", "--name");
	bad("--name a --memory 64M --vps 2", "--kernel");
	bad("--name a --kernel k --vps 2", "--memory");
	bad("--name a --kernel k --memory 64M", "--vps");
	bad(GOOD "--frob", "--frob");
	bad(GOOD "word", "word");
	bad("--name a --kernel", "--kernel");
}

#define BIOS "--name a --generation 1 --memory 64M --vps 2 "

static void a_machine_with_a_bios(void **state)
{
	(void)state;
	assert_int_equal(parse(GOOD), CONFIG_OK);
	assert_int_equal(config.generation, 0);
	assert_int_equal(parse(BIOS), CONFIG_OK);
	assert_int_equal(config.generation, 1);
	assert_string_equal(config.firmware.path, "/usr/share/seabios/bios-256k.bin");
	assert_null(config.firmware_log.path);
	assert_null(config.floppy.path);
	assert_int_equal(parse(BIOS "--firmware f --firmware-log l --floppy i"), CONFIG_OK);
	assert_string_equal(config.firmware.path, "f");
	assert_string_equal(config.firmware_log.path, "l");
	assert_string_equal(config.floppy.path, "i");
	bad("--name a --generation 3 --memory 64M --vps 2", "--generation 3");
	assert_int_equal(parse(BIOS "--net lan --net wan,model=21140,first --net b,model=21140"),
			 CONFIG_OK);
	assert_false(config.networks[0].emulated);
	assert_true(config.networks[1].emulated && config.networks[1].first);
	assert_true(config.networks[2].emulated && !config.networks[2].first);
	bad(BIOS "--net lan,first", "21140");
	bad(BIOS "--net lan,model=21140,queues=2", "leave out queues");
	bad(BIOS "--net lan,model=21140,signals=page", "leave out queues");
	bad(BIOS "--net lan,model=e1000", "synthetic");
	bad(BIOS "--net a,model=21140 --net b,model=21140 --net c,model=21140 --net "
		 "d,model=21140 --net e,model=21140",
	    "more than 4");
	bad(GOOD "--net lan,model=21140", "generation 1");
	assert_int_equal(config.sound, CONFIG_NO_SOUND);
	assert_int_equal(parse(BIOS "--sound sb16"), CONFIG_OK);
	assert_int_equal(config.sound, CONFIG_SB16);
	assert_null(config.sound_wav.path);
	assert_int_equal(parse(BIOS "--sound sb16,wav=a,b.wav"), CONFIG_OK);
	assert_string_equal(config.sound_wav.path, "a,b.wav");
	assert_int_equal(parse(BIOS "--sound hda"), CONFIG_OK);
	assert_int_equal(config.sound, CONFIG_HDA);
	bad(BIOS "--sound gus", "sb16");
	bad(BIOS "--sound sb16,mp3=a", "wav=FILE");
	bad(BIOS "--sound sb16,wav=", "--sound");
	bad(GOOD "--sound sb16", "generation 1");
	assert_int_equal(parse(GOOD "--sound hda"), CONFIG_OK);
	bad("--name a --generation 2 --memory 64M --vps 2 --sound hda", "--sound");
	assert_int_equal(parse(BIOS "--tablet"), CONFIG_OK);
	assert_true(config.tablet);
	assert_int_equal(parse(GOOD "--tablet"), CONFIG_OK);
	bad("--name a --generation 2 --memory 64M --vps 2 --tablet", "--tablet");
	bad(BIOS "--firmware-variables v", "--firmware-variables");
	bad(BIOS "--firmware-template v", "--firmware-template");
	bad(BIOS "--kernel k", "--kernel");
	bad(BIOS "--initrd k", "--initrd");
	bad(BIOS "--append k", "--append");
	bad(GOOD "--floppy f", "--floppy");
	bad(GOOD "--firmware f", "--firmware");
	bad(GOOD "--firmware-log f", "--firmware-log");
}

#define UEFI "--name a --generation 2 --memory 64M --vps 2 "

static void a_machine_with_uefi(void **state)
{
	(void)state;
	assert_int_equal(parse(UEFI), CONFIG_OK);
	assert_int_equal(config.generation, 2);
	assert_string_equal(config.firmware.path, "/usr/share/OVMF/OVMF_CODE_4M.fd");
	assert_string_equal(config.firmware_template.path, "/usr/share/OVMF/OVMF_VARS_4M.fd");
	assert_null(config.firmware_variables.path);
	assert_int_equal(parse("--iso i --dvd d --disk e --firmware-variables v "
			       "--firmware-template t --vga " UEFI),
			 CONFIG_OK);
	assert_string_equal(config.firmware_variables.path, "v");
	assert_int_equal(config.firmware_variables.fd, -1);
	assert_string_equal(config.firmware_template.path, "t");
	assert_true(config.vga);
	assert_int_equal(config.disk_count, 3);
	assert_true(config.disks[0].dvd && !config.disks[0].ide && config.disks[1].dvd &&
		    !config.disks[2].dvd);
	assert_true(config.disks[0].first && !config.disks[1].first && !config.disks[2].first);
	assert_int_equal(config.secure_boot, SECURE_BOOT_ANY);
	assert_int_equal(parse(UEFI "--secure-boot microsoft"), CONFIG_OK);
	assert_int_equal(config.secure_boot, SECURE_BOOT_MICROSOFT);
	assert_string_equal(config.firmware_template.path, "/usr/share/OVMF/OVMF_VARS_4M.ms.fd");
	assert_int_equal(parse(UEFI "--secure-boot template --firmware-template t"), CONFIG_OK);
	assert_int_equal(config.secure_boot, SECURE_BOOT_TEMPLATE);
	assert_string_equal(config.firmware_template.path, "t");
	assert_int_equal(parse(UEFI "--secure-boot off"), CONFIG_OK);
	assert_int_equal(config.secure_boot, SECURE_BOOT_OFF);
	assert_string_equal(config.firmware_template.path, "/usr/share/OVMF/OVMF_VARS_4M.fd");
	assert_int_equal(parse(UEFI "--tpm m"), CONFIG_OK);
	assert_string_equal(config.tpm.path, "m");
	bad(BIOS "--tpm m", "--tpm");
	bad(UEFI "--secure-boot template", "--firmware-template");
	bad(UEFI "--secure-boot microsoft --firmware-template t", "say template");
	bad(UEFI "--secure-boot on", "--secure-boot on");
	bad(BIOS "--secure-boot off", "--secure-boot");
	bad(UEFI "--disk e,ide", "--disk");
	bad("--name a --generation 2 --memory 62M --vps 2", "64M");
	bad(UEFI "--floppy f", "--floppy");
	bad(UEFI "--kernel f", "--kernel");
	bad(GOOD "--firmware-variables v", "--firmware-variables");
}

static void sizes(void **state)
{
	static const char *const wrong[] = {"0",
					    "lots",
					    "64",
					    "64MB",
					    "-1M",
					    "+64M",
					    "M",
					    "1M",
					    "65M",
					    "3000T",
					    "99999999999999999999G",
					    "18446744073709551615T",
					    "0M"};
	unsigned int i;
	char words[200];

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(words, sizeof(words), "--name a --kernel k --vps 1 --memory %s", wrong[i]);
		bad(words, "--memory");
	}
	assert_int_equal(parse("--name a --kernel k --vps 1 --memory 65536K"), CONFIG_OK);
	assert_true(config.memory == 64ull << 20);
	bad("--name a --kernel k --vps 1 --memory 4T", "this host has");
}

static void users(void **state)
{
	(void)state;
	assert_int_equal(parse(GOOD "--user 1000"), CONFIG_OK);
	assert_int_equal(config.user, 1000);
	bad(GOOD "--user 0", "--user");
	bad(GOOD "--user nobody", "--user");
	bad(GOOD "--user -1", "--user");
	bad(GOOD "--user 4294967295", "--user");
}

static void numbers_of_vps(void **state)
{
	static const char *const wrong[] = {
		"0", "two", "241", "100000", "-1", "1x", "99999999999999999999999"};
	unsigned int i;
	char words[200];

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(words, sizeof(words), "--name a --kernel k --memory 64M --vps %s",
			 wrong[i]);
		bad(words, "--vps");
	}
}

static void disks(void **state)
{
	char words[4096] = GOOD;
	unsigned int i;

	(void)state;
	assert_int_equal(parse(GOOD "--disk a.vhdx --dvd b.iso --disk c,d.vhd,ro,direct,ide --disk "
				    "e,scsi,raw,ro"),
			 CONFIG_OK);
	assert_int_equal(config.disk_count, 4);
	assert_string_equal(config.disks[0].file.path, "a.vhdx");
	assert_false(config.disks[0].ide || config.disks[0].dvd || config.disks[0].read_only ||
		     config.disks[0].raw || config.disks[0].direct);
	assert_string_equal(config.disks[1].file.path, "b.iso");
	assert_true(config.disks[1].dvd && config.disks[1].read_only && !config.disks[1].ide);
	assert_string_equal(config.disks[2].file.path, "c,d.vhd");
	assert_true(config.disks[2].ide && config.disks[2].read_only && config.disks[2].direct);
	assert_string_equal(config.disks[3].file.path, "e");
	assert_true(config.disks[3].raw && config.disks[3].read_only && !config.disks[3].ide &&
		    !config.disks[3].direct);
	assert_int_equal(parse(GOOD "--disk a --disk b,usb,ro --disk c,usb --disk d,scsi,usb"),
			 CONFIG_OK);
	assert_true(!config.disks[0].usb && config.disks[1].usb && config.disks[1].read_only &&
		    !config.disks[1].ide && config.disks[3].usb);
	bad(GOOD "--disk a,usb --disk b,usb --disk c,usb --disk d,usb", "three disks");
	bad(BIOS "--disk a,usb,ide", "scsi");
	bad(GOOD "--iso x", "generation 1");
	assert_int_equal(parse("--name a --generation 1 --memory 64M --vps 1 --disk a,ide --iso b "
			       "--disk c,ide --iso d"),
			 CONFIG_OK);
	for (i = 0; i < 4; i++) {
		static const unsigned int places[] = {0, 2, 1, 3};

		assert_true(config.disks[i].ide);
		assert_int_equal(config.disks[i].number, places[i]);
		assert_true(config.disks[i].dvd == (i % 2 == 1));
	}
	bad(GOOD "--disk x,ide,scsi", "--disk x");
	bad(GOOD "--disk ,ide", "--disk");
	bad(GOOD "--disk a,ide --disk a,ide --disk a,ide --disk a,ide --disk five,ide", "five");
	for (i = 0; i < CONFIG_SCSI_MAX; i++) {
		strcat(words, i % 2 ? "--disk x " : "--dvd x ");
	}
	assert_int_equal(parse(words), CONFIG_OK);
	strcat(words, "--disk last");
	bad(words, "last");
}

static void the_rest(void **state)
{
	(void)state;
	bad(GOOD "--serial tcp:1", "--serial tcp:1");
	bad(GOOD "--serial file:", "--serial");
	bad(GOOD "--on-reset never", "--on-reset never");
	bad("--name a\tb --kernel k --memory 64M --vps 2", "--name");
}

/* ---- Documents ---- */

#define BEGIN "{\"name\":\"d\",\"kernel\":\"k\",\"memory\":\"64M\",\"vps\":2"

/* Standard input is the document. */
static enum config_result read_document(const char *document)
{
	int saved = dup(STDIN_FILENO), file = memfd_create("document", 0);
	enum config_result result;

	assert_int_equal(write(file, document, strlen(document)), strlen(document));
	lseek(file, 0, SEEK_SET);
	dup2(file, STDIN_FILENO);
	close(file);
	result = parse("--config -");
	dup2(saved, STDIN_FILENO);
	close(saved);
	return result;
}

/* It is said of this key, with this value and remedy. */
static void wrong(const char *document, const char *key, const char *value, const char *remedy)
{
	char begins[200];

	assert_int_equal(read_document(document), CONFIG_BAD);
	snprintf(begins, sizeof(begins), ": --config -: %s%s%s", key, *value ? ": " : "", value);
	if (strstr(said, begins) == NULL || strstr(said, remedy) == NULL) {
		fail_msg("%s: %s", document, said);
	}
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void everything_in_a_document(void **state)
{
	(void)state;
	assert_int_equal(
		read_document(
			BEGIN
			",\"initrd\":\"i\",\"append\":\"x "
			"y\",\"serial\":{\"to\":\"unix\",\"file\":\"s\"},"
			"\"control\":{\"socket\":\"c\",\"users\":[7,8]},\"on-reset\":\"exit\","
			"\"user\":9,"
			"\"debug-exit\":true,\"disks\":["
			"{\"file\":\"a.vhdx\",\"parents\":[\"b.vhdx\",\"c.vhdx\"],\"number\":1},"
			"{\"kind\":\"dvd\"},{\"file\":\"d\",\"controller\":\"ide\",\"raw\":true,"
			"\"direct\":true,\"read-only\":true,\"number\":3},{\"file\":\"e\"}]}"),
		CONFIG_OK);
	assert_string_equal(said, "");
	assert_string_equal(config.append, "x y");
	assert_string_equal(config.control.path, "c");
	assert_int_equal(config.control_user_count, 2);
	assert_int_equal(config.control_users[1], 8);
	assert_int_equal(config.disks[0].parent_count, 2);
	assert_string_equal(config.disks[0].parents[1].path, "c.vhdx");
	assert_int_equal(config.disks[0].number, 1);
	assert_true(config.disks[1].dvd && config.disks[1].file.path == NULL);
	assert_int_equal(config.disks[1].number, 0);
	assert_true(config.disks[2].ide && config.disks[2].raw && config.disks[2].direct);
	assert_int_equal(config.disks[2].number, 3);
	assert_int_equal(config.disks[3].number, 2);
	assert_int_equal(config.device, -1);
	/* A size may be a number. */
	assert_int_equal(
		read_document("{\"name\":\"d\",\"kernel\":\"k\",\"memory\":67108864,\"vps\":1}"),
		CONFIG_OK);
	assert_true(config.memory == 64 << 20);
}

static void wrong_documents(void **state)
{
	char longer[CONFIG_SIZE_MAX + 2];

	(void)state;
	wrong("", "is no JSON", "", "write JSON");
	wrong("{\"name\":1,\"name\":2}", "is no JSON", "", "duplicate");
	wrong("[]", "[]", "", "give an object");
	wrong("{}", "name", "", "");
	wrong(BEGIN ",\"frob\":1}", "frob", "", "there are: name, kernel");
	wrong("{\"name\":\"\",\"kernel\":\"k\",\"memory\":\"64M\",\"vps\":2}", "name", "\"\"",
	      "1 to 64");
	wrong("{\"name\":\"a\",\"kernel\":7,\"memory\":\"64M\",\"vps\":2}", "kernel", "7",
	      "a path");
	wrong("{\"name\":\"a\",\"kernel\":\"\",\"memory\":\"64M\",\"vps\":2}", "kernel", "\"\"",
	      "1 to");
	wrong("{\"name\":\"a\",\"kernel\":\"k\",\"memory\":\"64X\",\"vps\":2}", "memory", "\"64X\"",
	      "512M");
	wrong("{\"name\":\"a\",\"kernel\":\"k\",\"memory\":1.5,\"vps\":2}", "memory", "1.5",
	      "512M");
	wrong("{\"name\":\"a\",\"kernel\":\"k\",\"memory\":-2097152,\"vps\":2}", "memory",
	      "-2097152", "from 8M");
	wrong("{\"name\":\"a\",\"kernel\":\"k\",\"memory\":67108865,\"vps\":2}", "memory",
	      "67108865", "multiple");
	wrong("{\"name\":\"a\",\"kernel\":\"k\",\"memory\":\"64M\",\"vps\":\"2\"}", "vps", "\"2\"",
	      "from 1 to 240");
	wrong("{\"name\":\"a\",\"kernel\":\"k\",\"memory\":\"64M\",\"vps\":241}", "vps", "241",
	      "from 1 to 240");
	wrong(BEGIN ",\"append\":\"a\\u0007\"}", "append", "\"a\\u0007\"", "control characters");
	wrong(BEGIN ",\"append\":null}", "append", "null", "text");
	wrong(BEGIN ",\"on-reset\":\"never\"}", "on-reset", "\"never\"", "reboot or exit");
	wrong(BEGIN ",\"user\":0}", "user", "0", "from 1");
	wrong(BEGIN ",\"id\":\"1\"}", "id", "\"1\"", "01234567-");
	wrong(BEGIN ",\"id\":\"00000000-0000-0000-0000-000000000000\"}", "id", "\"0000",
	      "01234567-");
	wrong(BEGIN ",\"generation-id\":7}", "generation-id", "7", "01234567-");
	wrong(BEGIN ",\"serial-number\":\"\"}", "serial-number", "\"\"", "");
	wrong(BEGIN ",\"services\":[\"tea\"]}", "services[0]", "\"tea\"", "shutdown");
	wrong(BEGIN ",\"services\":\"time\"}", "services", "\"time\"", "list");
	wrong(BEGIN ",\"debug-exit\":1}", "debug-exit", "1", "true or false");
	wrong(BEGIN ",\"serial\":\"stdio\"}", "serial", "\"stdio\"", "object");
	wrong(BEGIN ",\"serial\":{}}", "serial.to", "", "given");
	wrong(BEGIN ",\"serial\":{\"to\":\"tcp\"}}", "serial.to", "\"tcp\"",
	      "stdio, file, unix or control");
	wrong(BEGIN ",\"serial\":{\"to\":\"file\"}}", "serial.file", "", "give one");
	wrong(BEGIN ",\"serial\":{\"to\":\"stdio\",\"file\":\"x\"}}", "serial.file", "\"x\"",
	      "give one");
	wrong(BEGIN ",\"serial\":{\"to\":\"control\"}}", "control", "", "socket");
	wrong(BEGIN ",\"control\":{}}", "control.socket", "", "given");
	wrong(BEGIN ",\"control\":{\"socket\":\"c\",\"users\":[1,0]}}", "control.users[1]", "0",
	      "user's number");
	wrong(BEGIN ",\"control\":{\"socket\":\"c\",\"users\":"
		    "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}",
	      "control.users", "", "at most 16");
	wrong(BEGIN ",\"device\":\"/dev/null\"}", "device", "\"/dev/null\"", "fd");
	memset(longer, ' ', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(read_document(longer), CONFIG_BAD);
	assert_non_null(strstr(said, "shorter"));
	bad("--config - --vps 2", "leave the other options");
	bad("--config /nonexistent", "/nonexistent");
	bad("--config fd:1000", "fd:1000");
	bad("--config fd:x", "fd:x");
}

static void wrong_disks(void **state)
{
	(void)state;
	wrong(BEGIN ",\"disks\":{}}", "disks", "{}", "list");
	wrong(BEGIN ",\"disks\":[7]}", "disks[0]", "7", "object");
	wrong(BEGIN ",\"disks\":[{}]}", "disks[0].file", "", "given");
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\"},{\"file\":\"b\",\"frob\":1}]}", "disks[1].frob",
	      "", "there are: file");
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\",\"kind\":\"tape\"}]}", "disks[0].kind", "\"tape\"",
	      "disk or dvd");
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\",\"kind\":\"dvd\",\"controller\":\"ide\"}]}",
	      "disks[0].controller", "\"ide\"", "BIOS");
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\",\"number\":64}]}", "disks[0].number", "64", "63");
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\",\"number\":4,\"controller\":\"ide\"}]}",
	      "disks[0].number", "4", "0 to 3");
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\",\"number\":4},{\"file\":\"b\",\"number\":4}]}",
	      "disks[1].number", "4", "another");
	/* The first free number of the first disk. */
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\"},{\"file\":\"b\",\"number\":0}]}",
	      "disks[1].number", "0", "another");
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\",\"parents\":[\"b\",7]}]}", "disks[0].parents[1]",
	      "7", "path");
	wrong(BEGIN ",\"disks\":[{\"file\":\"a\",\"parents\":\"b\"}]}", "disks[0].parents", "\"b\"",
	      "list");
}

static int listening(int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	/* Without a name of its own it gets one. */
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void put_fds(char *document, size_t size, const char *format, int a, int b)
{
	snprintf(document, size, format, a, b);
}

#define FDS(format, a, b) (put_fds(text, sizeof(text), (format), (a), (b)), text)

static void networks(void **state)
{
	static const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0xaf}, none[6];

	(void)state;
	assert_int_equal(parse(GOOD "--net lan --net "
				    "wan,port=p,mac=00:15:5D:01:02:aF,queues=3,vlan=7,signals=page,"
				    "socket=/s --vps 5"),
			 CONFIG_OK);
	assert_int_equal(config.network_count, 2);
	assert_string_equal(config.networks[0].network, "lan");
	assert_null(config.networks[0].port);
	assert_string_equal(config.networks[0].socket.path, CONFIG_PORT_SOCKET);
	assert_memory_equal(config.networks[0].mac, none, 6);
	assert_int_equal(config.networks[0].queue_count, 0);
	assert_int_equal(config_queues(&config), 5);
	assert_int_equal(config.networks[0].vlan, 0);
	assert_string_equal(config.networks[1].network, "wan");
	assert_string_equal(config.networks[1].port, "p");
	assert_string_equal(config.networks[1].socket.path, "/s");
	assert_memory_equal(config.networks[1].mac, mac, 6);
	assert_int_equal(config.networks[1].queue_count, 3);
	assert_int_equal(config.networks[1].vlan, 7);
	assert_false(config.networks[0].by_page);
	assert_true(config.networks[1].by_page);
	bad(GOOD "--net lan,frob=1", "frob");
	bad(GOOD "--net lan,port", "port=NAME");
	bad(GOOD "--net lan,mac=1", "00:15:5d:01:02:03");
	bad(GOOD "--net lan,mac=01:15:5d:01:02:03", "group");
	bad(GOOD "--net lan,mac=00:00:00:00:00:00", "--net 00:00");
	bad(GOOD "--net lan,queues=17", "16");
	bad(GOOD "--net lan,signals=smoke", "call");
	bad(GOOD "--memory-minimum 1T", "no more than memory");
	bad(GOOD "--memory-maximum 8M", "no less than memory");
	bad(GOOD "--memory-weight 101", "memory-weight");
	bad(GOOD "--memory-buffer 4", "memory-buffer");
	bad(GOOD "--net lan,queues=0", "from 1");
	bad(GOOD "--net lan,vlan=4095", "4094");
	wrong(BEGIN ",\"networks\":[{}]}", "networks[0].switch", "", "given");
	wrong(BEGIN ",\"networks\":[{\"switch\":\"\"}]}", "networks[0].switch", "\"\"", "");
	wrong(BEGIN ",\"vsock\":{\"socket\":5}}", "vsock.socket", "5", "give a path");
}

static void devices(void **state)
{
	(void)state;
	assert_int_equal(parse(GOOD "--device pci:0000:00:05.0 --device pci:0001:af:1f.7"),
			 CONFIG_OK);
	assert_int_equal(config.device_count, 2);
	assert_string_equal(config.devices[0], "0000:00:05.0");
	assert_string_equal(config.devices[1], "0001:af:1f.7");
	bad(GOOD "--device 0000:00:05.0", "give pci:ADDRESS");
	bad(GOOD "--device pci:00:05.0", "--device 00:05.0: give one as lspci -D shows it");
	bad(GOOD "--device pci:0000:00:25.0", "lspci");
	bad(GOOD "--device pci:0000:00:05.8", "lspci");
	bad(GOOD "--device pci:0000:00:+5.0", "lspci");
	bad(GOOD "--device pci:0000:00:05/0", "lspci");
	bad(GOOD "--device pci:0000:00:05.0 --device pci:0000:00:05.0", "once");
	bad(GOOD "--device pci:0000:00:05.0 --memory-minimum 8M", "memory-minimum");
	bad(GOOD "--device pci:0000:00:05.0 --memory-maximum 8G", "or the devices");
	bad(GOOD "--device pci:0000:00:05.0 --restore file", "restore");
	bad(GOOD "--device pci:0000:00:05.0 --receive socket", "receive");
	wrong(BEGIN ",\"devices\":[{}]}", "devices[0].pci", "", "given");
	wrong(BEGIN ",\"devices\":[{\"pci\":5}]}", "devices[0].pci", "5", "lspci");
}

static void descriptors(void **state)
{
	int writable = memfd_create("w", 0), readable, folder = open("/", O_RDONLY), pipes[2],
	    device = open("/dev/null", O_RDWR), half = open("/dev/null", O_RDONLY),
	    packets = listening(SOCK_SEQPACKET), stream = listening(SOCK_STREAM),
	    deaf = socket(AF_UNIX, SOCK_SEQPACKET, 0), unopened = 900, path;
	char text[1000], name[64], shown[32];

	(void)state;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", writable);
	readable = open(name, O_RDONLY);
	path = open(name, O_PATH);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(
		read_document(
			FDS("{\"name\":\"d\",\"kernel\":{\"fd\":%d},\"memory\":\"64M\",\"vps\":1,"
			    "\"disks\":[{\"file\":{\"fd\":%d,\"name\":\"a.vhdx\"}}]}",
			    readable, writable)),
		CONFIG_OK);
	assert_int_equal(config.kernel.fd, readable);
	snprintf(shown, sizeof(shown), "fd %d", readable);
	assert_string_equal(config.kernel.path, shown);
	assert_int_equal(config.disks[0].file.fd, writable);
	assert_string_equal(config.disks[0].file.path, "a.vhdx");
	assert_int_equal(read_document(FDS(BEGIN ",\"networks\":[{\"switch\":\"lan\",\"socket\":{"
						 "\"fd\":%d}}]}",
					   deaf, 0)),
			 CONFIG_OK);
	assert_int_equal(config.networks[0].socket.fd, deaf);
	wrong(FDS(BEGIN ",\"networks\":[{\"switch\":\"lan\",\"socket\":{\"fd\":%d}}]}", writable,
		  0),
	      "networks[0].socket", "", "connected");
	assert_int_equal(
		read_document(FDS(BEGIN ",\"control\":{\"socket\":{\"fd\":%d}},\"serial\":{\"to\":"
					"\"unix\",\"file\":{\"fd\":%d}}}",
				  packets, stream)),
		CONFIG_OK);
	assert_int_equal(config.control.fd, packets);
	assert_int_equal(config.serial_file.fd, stream);
	assert_int_equal(read_document(FDS(BEGIN ",\"device\":{\"fd\":%d}}", device, 0)),
			 CONFIG_OK);
	assert_int_equal(config.device, device);
#define KERNEL(file) "{\"name\":\"d\",\"kernel\":" file ",\"memory\":\"64M\",\"vps\":1}"
	wrong(KERNEL("{}"), "kernel.fd", "", "given");
	wrong(KERNEL("{\"fd\":-1}"), "kernel.fd", "-1", "from 0");
	wrong(KERNEL("{\"fd\":1024}"), "kernel.fd", "1024", "1023");
	wrong(KERNEL("{\"fd\":\"3\"}"), "kernel.fd", "\"3\"", "from 0");
	wrong(KERNEL("{\"fd\":0,\"path\":\"x\"}"), "kernel.path", "", "fd, name");
	wrong(FDS(KERNEL("{\"fd\":%d}"), unopened, 0), "kernel", "", "hand it over");
	wrong(FDS(KERNEL("{\"fd\":%d}"), folder, 0), "kernel", "", "regular");
	wrong(FDS(KERNEL("{\"fd\":%d}"), path, 0), "kernel", "", "regular");
	wrong(FDS(KERNEL("{\"fd\":%d}"), pipes[0], 0), "kernel", "", "regular");
	wrong(FDS("{\"name\":\"d\",\"kernel\":{\"fd\":%d},\"memory\":\"64M\",\"vps\":1,\"initrd\":"
		  "{\"fd\":%d}}",
		  readable, readable),
	      "initrd", "", "once");
	wrong(FDS(BEGIN ",\"disks\":[{\"file\":{\"fd\":%d}}]}", readable, 0), "disks[0].file", "",
	      "or read-only");
	wrong(FDS(BEGIN ",\"disks\":[{\"read-only\":true,\"file\":{\"fd\":%d}}]}", device, 0),
	      "disks[0].file", "", "block device");
	wrong(FDS(BEGIN ",\"disks\":[{\"file\":\"a\",\"parents\":[{\"fd\":%d}]}]}", folder, 0),
	      "disks[0].parents", "", "open for reading");
	wrong(FDS(BEGIN ",\"device\":{\"fd\":%d}}", half, 0), "device", "", "open for reading and");
	wrong(FDS(BEGIN ",\"device\":{\"fd\":%d}}", writable, 0), "device", "", "device");
	wrong(FDS(BEGIN ",\"control\":{\"socket\":{\"fd\":%d}}}", stream, 0), "control.socket", "",
	      "SOCK_SEQPACKET");
	wrong(FDS(BEGIN ",\"control\":{\"socket\":{\"fd\":%d}}}", deaf, 0), "control.socket", "",
	      "listens");
	wrong(FDS(BEGIN ",\"serial\":{\"to\":\"unix\",\"file\":{\"fd\":%d}}}", packets, 0),
	      "serial.file", "", "SOCK_STREAM");
	wrong(FDS(BEGIN ",\"serial\":{\"to\":\"file\",\"file\":{\"fd\":%d}}}", readable, 0),
	      "serial.file", "", "for writing");
	close(writable);
	close(readable);
	close(folder);
	close(path);
	close(device);
	close(half);
	close(packets);
	close(stream);
	close(deaf);
	close(pipes[0]);
	close(pipes[1]);
}

static char *printed(const char *words)
{
	static char text[4096];
	int saved = dup(STDOUT_FILENO), file = memfd_create("out", 0);
	ssize_t length;

	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	assert_int_equal(parse(words), CONFIG_PRINTED);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	length = pread(file, text, sizeof(text) - 1, 0);
	close(file);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

/* What is printed stands for the same. */
static void options_are_a_document(void **state)
{
	char *document = printed(
		GOOD "--disk a,ide,ro --disk b,raw --dvd c --serial control --control s "
		     "--user 5 --vsock v --append x=y --on-reset exit --services time,values "
		     "--id 00112233-4455-6677-8899-aabbccddeeff --serial-number n "
		     "--print-config");

	(void)state;
	assert_int_equal(read_document(document), CONFIG_OK);
	assert_true(config.disks[0].ide && config.disks[0].read_only);
	assert_true(config.disks[1].raw && config.disks[2].dvd);
	assert_int_equal(config.serial, SERIAL_CONTROL);
	assert_string_equal(config.control.path, "s");
	assert_string_equal(config.vsock.socket.path, "v");
	assert_string_equal(config.vsock.programs, "v");
	assert_int_equal(config.user, 5);
	assert_int_equal(config.on_reset, ON_RESET_EXIT);
	assert_int_equal(config.id[0], 0x33); /* its first part is little-endian */
	assert_int_equal(config.id[15], 0xff);
	assert_string_equal(config.serial_number, "n");
	assert_int_equal(config.services_off, 0x33); /* all but the third and the fourth */
	assert_int_equal(parse(GOOD "--services none"), CONFIG_OK);
	assert_int_equal(config.services_off, 0x3f);
	assert_int_equal(parse(GOOD), CONFIG_OK);
	assert_int_equal(config.services_off, 0);
	bad(GOOD "--services time,tea", "tea");
	bad(GOOD "--print-config --vps 0", "--vps 0");
	bad(GOOD "--serial control", "control");
}

static void same_keys(const json_t *schema, const char *document)
{
	json_t *value = json_loads(document, 0, NULL);
	const char *key;
	json_t *member;

	assert_non_null(value);
	assert_int_equal(json_object_size(schema), json_object_size(value));
	json_object_foreach(value, key, member)
	{
		if (json_object_get(schema, key) == NULL) {
			fail_msg("%s is not in the schema", key);
		}
	}
	json_decref(value);
}

/*
 * The schema has the keys that the reader knows: documents with all keys, none of which the reader
 * refuses as not known, have the same ones.
 */
static void schema(void **state)
{
	static const char all[] =
		"{\"name\":\"d\",\"kernel\":\"k\",\"memory\":\"64M\",\"memory-minimum\":\"32M\","
		"\"memory-maximum\":\"128M\",\"memory-weight\":100,\"memory-buffer\":5,\"vps\":1,"
		"\"initrd\":\"i\","
		"\"append\":"
		"\"\",\"serial\":{\"to\":\"file\",\"file\":\"f\"},\"disks\":[{\"file\":\"f\","
		"\"parents\":[],"
		"\"kind\":\"disk\",\"controller\":\"scsi\",\"number\":5,\"read-only\":true,\"raw\":"
		"true,"
		"\"direct\":true}],\"vsock\":{\"socket\":\"v\",\"programs\":\"w\"},\"networks\":[{"
		"\"switch\":\"s\",\"port\":\"p\",\"socket\":\"o\","
		"\"mac\":"
		"\"00:15:5d:01:02:03\",\"vlan\":7,\"queues\":2,\"signals\":\"page\",\"model\":"
		"\"synthetic\",\"first\":false,\"sriov\":false}],\"control\":{"
		"\"socket\":\"c\","
		"\"users\":[]},"
		"\"id\":\"00112233-4455-6677-8899-aabbccddeeff\",\"serial-number\":\"s\","
		"\"generation-id\":\"00112233-4455-6677-8899-aabbccddeeff\","
		"\"crash-log\":\"x\",\"services\":[\"time\"],\"on-reset\":"
		"\"exit\","
		"\"user\":5,\"restore\":\"r\",\"debug-exit\":true,\"device\":{\"fd\":%d,\"name\":"
		"\"n\"}}";
	/* What does not go with a kernel; a disk with all that it may have. */
	static const char bios[] =
		"{\"name\":\"d\",\"memory\":\"64M\",\"vps\":1,\"generation\":1,\"firmware\":\"f\","
		"\"firmware-log\":\"l\",\"floppy\":\"i\",\"vga\":true,\"vga-firmware\":\"v\","
		"\"network-firmware\":\"n\",\"tablet\":true,\"sound\":{\"model\":\"sb16\",\"wav\":"
		"\"w\"},"
		"\"devices\":[{\"pci\":\"0000:00:05.0\"}],"
		"\"vnc\":{\"socket\":\"w\"},\"rdp\":{\"socket\":\"w\"},\"disks\":[{\"file\":\"f\","
		"\"parents\":[],\"kind\":"
		"\"disk\","
		"\"controller\":\"scsi\",\"number\":5,\"read-only\":true,\"raw\":true,\"direct\":"
		"true,"
		"\"usb\":true,\"first\":true}]}";
	static const char uefi[] = "{\"name\":\"d\",\"memory\":\"64M\",\"vps\":1,\"generation\":2,"
				   "\"firmware-variables\":\"v\",\"firmware-template\":\"t\","
				   "\"secure-boot\":\"template\",\"tpm\":\"m\","
				   "\"receive\":{\"socket\":\"s\",\"owner\":\"o\"}}";
	json_t *top = json_load_file("include/mgmt/config.schema.json", 0, NULL), *keys, *document,
	       *of, *others, *earlier;
	int device = open("/dev/null", O_RDWR);
	char text[1500], *part;

	(void)state;
	assert_non_null(top);
	keys = json_object_get(top, "properties");
	snprintf(text, sizeof(text), all, device);
	assert_int_equal(read_document(text), CONFIG_OK);
	document = json_loads(text, 0, NULL);
	assert_int_equal(read_document(bios), CONFIG_OK);
	assert_int_equal(read_document(uefi), CONFIG_OK);
	assert_int_equal(
		read_document("{\"name\":\"d\",\"memory\":\"64M\",\"vps\":1,\"kernel\":\"k\","
			      "\"disks\":[{\"file\":\"f\",\"first\":true}]}"),
		CONFIG_BAD);
	assert_non_null(strstr(said, "disks[0].first"));
	others = json_loads(bios, 0, NULL);
	json_object_update_missing(others, document);
	part = json_dumps(others, 0);
	json_decref(others);
	others = json_loads(uefi, 0, NULL);
	earlier = json_loads(part, 0, NULL);
	json_object_update_missing(others, earlier);
	json_decref(earlier);
	free(part);
	part = json_dumps(others, 0);
	same_keys(keys, part);
	free(part);
	json_decref(others);
	static const char *const parts[] = {"serial", "control", "vsock"};
	for (size_t i = 0; i < 3; i++) {
		part = json_dumps(json_object_get(document, parts[i]), 0);
		same_keys(json_object_get(json_object_get(keys, parts[i]), "properties"), part);
		free(part);
	}
	of = json_object_get(top, "$defs");
	others = json_loads(bios, 0, NULL);
	part = json_dumps(json_array_get(json_object_get(others, "disks"), 0), 0);
	json_decref(others);
	same_keys(json_object_get(json_object_get(of, "disk"), "properties"), part);
	free(part);
	part = json_dumps(json_array_get(json_object_get(document, "networks"), 0), 0);
	same_keys(json_object_get(json_object_get(of, "network"), "properties"), part);
	free(part);
	part = json_dumps(json_object_get(document, "device"), 0);
	same_keys(json_object_get(json_object_get(of, "descriptor"), "properties"), part);
	free(part);
	json_decref(document);
	json_decref(top);
	close(device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_given),
		cmocka_unit_test(devices),
		cmocka_unit_test(defaults),
		cmocka_unit_test(missing_options),
		cmocka_unit_test(a_machine_with_a_bios),
		cmocka_unit_test(a_machine_with_uefi),
		cmocka_unit_test(sizes),
		cmocka_unit_test(numbers_of_vps),
		cmocka_unit_test(users),
		cmocka_unit_test(disks),
		cmocka_unit_test(the_rest),
		cmocka_unit_test(everything_in_a_document),
		cmocka_unit_test(wrong_documents),
		cmocka_unit_test(wrong_disks),
		cmocka_unit_test(networks),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(options_are_a_document),
		cmocka_unit_test(schema),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	config_destroy(&config);
	return failed;
}
