/*
 * kexec load|panic KERNEL INITRD COMMAND-LINE: hand the kernel of the next boot, or of a crash, to
 * the kernel that runs. kexec go: leave for it.
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int done(const char *what, long rc)
{
	if (rc != 0) {
		perror(what);
	}
	return rc != 0;
}

int main(int argc, char **argv)
{
	int kernel, initrd;

	if (argc == 2 && strcmp(argv[1], "go") == 0) {
		return done("kexec", syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
					     LINUX_REBOOT_CMD_KEXEC, NULL));
	}
	if (argc != 5) {
		fputs("usage: kexec load|panic KERNEL INITRD COMMAND-LINE, or kexec go\n", stderr);
		return 2;
	}
	kernel = open(argv[2], O_RDONLY);
	initrd = open(argv[3], O_RDONLY);
	return done(argv[1],
		    syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[4]) + 1, argv[4],
			    strcmp(argv[1], "panic") == 0 ? KEXEC_FILE_ON_CRASH : 0ul));
}
