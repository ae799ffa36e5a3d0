/*
 * watch TEXT NAME COMMAND...: run COMMAND until its output has a line that begins with TEXT. Prints
 * the TSC's ticks from start to that line, and the memory that COMMAND then has resident in
 * mappings whose name does not contain NAME, and how much of it is of no file, so that no other
 * process of the program has it too; kills it.
 */
#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

static pid_t start(char **command, FILE **output)
{
	int ends[2];
	pid_t child;

	if (pipe(ends) < 0 || (child = fork()) < 0) {
		err(1, "start");
	}
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execvp(command[0], command);
		err(127, "%s", command[0]);
	}
	close(ends[1]);
	*output = fdopen(ends[0], "r");
	return child;
}

/* smaps has a line with the mapping's addresses and name, then lines of fields. */
static void add_up(pid_t pid, const char *without, unsigned long *resident, unsigned long *own)
{
	char path[64], line[512];
	int counted = 1;
	FILE *smaps;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	smaps = fopen(path, "r");
	if (smaps == NULL) {
		err(1, "%s", path);
	}
	while (fgets(line, sizeof(line), smaps) != NULL) {
		unsigned long from, to, kib;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			counted = strstr(line, without) == NULL;
		} else if (sscanf(line, "Rss: %lu kB", &kib) == 1 && counted) {
			*resident += kib;
		} else if (sscanf(line, "Anonymous: %lu kB", &kib) == 1 && counted) {
			*own += kib;
		}
	}
	fclose(smaps);
}

int main(int argc, char **argv)
{
	char line[1024];
	FILE *output;
	uint64_t begin;
	pid_t child;
	unsigned long resident = 0, own = 0;
	int found = 0;

	if (argc < 4) {
		errx(2, "usage: watch TEXT NAME COMMAND...");
	}
	begin = __rdtsc();
	child = start(argv + 3, &output);
	while (!found && fgets(line, sizeof(line), output) != NULL) {
		found = strncmp(line, argv[1], strlen(argv[1])) == 0;
	}
	if (found) {
		printf("watch: ticks %llu\n", (unsigned long long)(__rdtsc() - begin));
		add_up(child, argv[2], &resident, &own);
		printf("watch: resident %lu KiB\nwatch: own %lu KiB\n", resident, own);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return found ? 0 : 1;
}
