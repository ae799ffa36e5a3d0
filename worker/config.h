/*
 * What the user asked for: one JSON document (include/mgmt/config.schema.json), given by --config,
 * or made of the command line's options, which are its short form. Everything wrong with it is said
 * in one line that names the key or the option, the value, and the remedy.
 */
#ifndef WORKER_CONFIG_H
#define WORKER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "include/mgmt/control.h"
#include "lib/check.h"
#include "hosted/form.h"

enum serial_kind {
	SERIAL_STDIO,
	SERIAL_FILE,
	SERIAL_UNIX,
	SERIAL_CONTROL, /* whoever asks for it on the control socket */
};

enum on_reset {
	ON_RESET_REBOOT,
	ON_RESET_EXIT,
};

/* What the firmware's variables have to say of Secure Boot. */
enum secure_boot {
	SECURE_BOOT_ANY,
	SECURE_BOOT_OFF,
	SECURE_BOOT_MICROSOFT, /* on, with the platform key of CONFIG_KEYS */
	SECURE_BOOT_TEMPLATE,  /* ... of the template that was given */
};

#define CONFIG_SCSI_MAX  64 /* disks of the SCSI controller, DVD drives among them */
#define CONFIG_IDE_MAX   4
#define CONFIG_IDE_DVD   2 /* the place of a DVD drive among them, unless another is asked for */
#define CONFIG_DISKS_MAX (CONFIG_SCSI_MAX + CONFIG_IDE_MAX)
#define CONFIG_USB_MAX   3 /* disks and DVD drives that are on USB too */
#define CONFIG_USERS_MAX 16
#define CONFIG_BIOS      "/usr/share/seabios/bios-256k.bin"
#define CONFIG_VGA_BIOS  "/usr/share/seabios/vgabios-stdvga.bin"
#define CONFIG_NETBOOT   "/usr/lib/ipxe/ipxe.pxe"
#define CONFIG_UEFI      "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define CONFIG_VARIABLES "/usr/share/OVMF/OVMF_VARS_4M.fd"
#define CONFIG_KEYS      "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" /* Debian's PK, Microsoft's keys */
#define CONFIG_SIZE_MAX  (1u << 20)                           /* of a document, in bytes */

#define CONFIG_NETWORKS_MAX 16
#define CONFIG_EMULATED_MAX 4 /* of them, with generation 1 */
#define CONFIG_DEVICES_MAX  16
#define CONFIG_QUEUES_MAX   16
#define CONFIG_PORT_SOCKET  "/run/vswitchd.ports"

struct config_file {
	const char *
		path; /* NULL: none. With a descriptor its name, for messages and, of a disk, for its format */
	int fd; /* one that was inherited, and looked at; -1: `path` is to be opened */
};

/* Where programs of the root reach the guest's sockets, and are reached. */
struct config_vsock {
	struct config_file socket; /* as serial_file; no path: none */
	const char *programs; /* begins the paths of those that the guest reaches; NULL: none */
};

enum config_sound { CONFIG_NO_SOUND, CONFIG_SB16, CONFIG_HDA };

/* An adapter on a virtual switch. */
struct config_network {
	const char *network; /* the switch */
	const char *port;    /* NULL: one named after the machine and the adapter */
	struct config_file
		socket;    /* where the switch takes workers, or one that is connected to it */
	uint8_t mac[6];    /* zeros: the switch chooses */
	unsigned int vlan; /* 0: as the port is set */
	unsigned int queue_count; /* 0: config_queues() */
	bool by_page;             /* its guest signals by a page of memory */
	bool emulated;            /* of generation 1: a 21140, instead of one on VMBus */
	bool first;               /* likewise: firmware tries to start from it before all others */
	bool sriov; /* a virtual function is to carry its frames: who started the worker sees to it */
};

/* How a document names them: on VMBus, or emulated. */
extern const char *const config_models[];

struct config_disk {
	struct config_file file;     /* none: an empty drive */
	struct config_file *parents; /* all of them, the nearest first; none: as the file says */
	unsigned int parent_count;
	unsigned int number; /* on its controller */
	bool ide, dvd, read_only;
	bool usb;    /* of the SCSI controller: on USB too */
	bool first;  /* with firmware: it is tried before others */
	bool raw;    /* whatever its name and its content say */
	bool direct; /* past the host's page cache */
};

/* Texts are the document's. */
struct config {
	json_t *document;
	json_t *names;           /* of descriptors that have none */
	bool inherited[1 << 10]; /* descriptors that something of the document has already */
	const char *name;
	uint8_t id[16]; /* its UUID, as a GUID is in memory; zeros: one that is its name's */
	const char *serial_number;                 /* NULL: its UUID */
	uint8_t generation_id[16];                 /* zeros: a new one at each start of a worker */
	unsigned int generation;                   /* 0: the kernel is started without firmware */
	struct config_file firmware, firmware_log; /* with a generation */
	struct config_file floppy, vga_rom;        /* of generation 1 */
	struct config_file network_firmware;   /* likewise; none: CONFIG_NETBOOT, if it is there */
	struct config_file firmware_variables; /* of generation 2; none: they are lost */
	struct config_file firmware_template;  /* likewise: what they begin as */
	enum secure_boot secure_boot;          /* likewise */
	struct config_file tpm;                /* likewise: its state; none: there is no TPM */
	struct config_file kernel, initrd;
	struct config_file restore; /* a saved state to go on from; none: the machine begins anew */
	struct config_file
		receive; /* a socket at which a machine comes from another worker; none: it does not */
	struct config_file receive_owner; /* whose it is meanwhile; none: beside that socket */
	bool receive_disks;           /* the disks that the guest writes are new, and come along */
	int device;                   /* the hypervisor's, inherited; -1: to be opened */
	struct config_file crash_log; /* to whose end a crash of the guest is written */
	const char *append;           /* "" if none was given */
	uint64_t memory;              /* bytes */
	uint64_t memory_minimum;      /* bytes; 0: the guest has all of them for good */
	uint64_t memory_maximum;      /* bytes; to which memory can be added: at least `memory` */
	uint64_t memory_weight; /* of its guest's, for who divides memory among guests; 0 to 100 */
	uint64_t
		memory_buffer; /* per cent that its guest is to have beyond its demand; 5 to 2000 */
	unsigned int vps;
	enum serial_kind serial;
	struct config_file serial_file; /* of a socket: where to listen, or a listening one */
	unsigned int
		services_off; /* those that are not offered at the start: a bit each, in the order of CONTROL_SERVICES */
	enum on_reset on_reset;
	unsigned int user;       /* whom a worker becomes that root started; 0: one of its own */
	bool vga;                /* with a generation: it has a screen */
	bool tablet;             /* not of generation 2: a pointer by USB */
	enum config_sound sound; /* not of generation 2: the sound card */
	struct config_file sound_wav; /* likewise: where what it plays goes; none: nowhere */
	struct config_file vnc, rdp;  /* sockets: as serial_file; either implies vga */
	bool debug_exit;              /* the port of test images is there */
	struct config_file control;   /* a socket: as serial_file */
	uid_t control_users
		[CONFIG_USERS_MAX]; /* who may do everything, beside root and who started the worker */
	unsigned int control_user_count;
	struct config_vsock vsock;
	struct config_disk disks[CONFIG_DISKS_MAX];
	unsigned int disk_count;
	struct config_network networks[CONFIG_NETWORKS_MAX];
	unsigned int network_count;
	const char *devices[CONFIG_DEVICES_MAX]; /* of this host's PCI, as 0000:00:05.0 */
	unsigned int device_count;
};

enum config_result {
	CONFIG_OK,
	CONFIG_PRINTED, /* the help or the document was asked for and printed */
	CONFIG_BAD,     /* said what is wrong */
};

/* config_destroy() in any case. */
enum config_result config_parse(struct config *config, int argc, char **argv) MUST_CHECK;
void config_destroy(struct config *config);
/* The host's part: is there that much memory? Says what is wrong. */
bool config_fits_host(const struct config *config) MUST_CHECK;

/* An adapter's channels at most, where nobody says it. */
unsigned int config_queues(const struct config *config);
/* config_read.c: an adapter, as the document has it. form->user: a struct config, for a
 * descriptor. */
bool config_read_network(struct form *form, const json_t *value, struct config_network *network);

/* config_read.c: config->document into the rest. False: what is wrong is in *error. */
bool config_read(struct config *config, struct form_error *error) MUST_CHECK;

#endif
