/* What bash, zsh and fish need to complete words of vm: from the tables of verbs and options;
 * machines' names are asked of the service when they are wanted. */
#include <stdio.h>
#include <string.h>

#include "cli/vm.h"

#define NAMES "vm list --columns name 2>/dev/null | tail -n +2"

/* In single quotes of a shell, which has `quote` for a single quote itself. */
static void print_quoted(const char *text, const char *quote)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'') {
			fputs(quote, stdout);
		} else {
			putchar(*text);
		}
	}
}

static void print_bash(void)
{
	const char *name, *value, *help;
	bool is_file;
	unsigned int i;

	fputs("_vm() {\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} IFS=$'\\n'\n"
	      "\tlocal verbs='",
	      stdout);
	for (i = 0; i < vm_verb_count; i++) {
		printf("%s%s", i > 0 ? "\n" : "", vm_verbs[i].name);
		if (vm_verbs[i].cmdlet != NULL) {
			printf("\n%s", vm_verbs[i].cmdlet);
		}
	}
	fputs("'\n\tlocal options='", stdout);
	for (i = 0; (name = vm_option(i, &value, &help, &is_file)) != NULL; i++) {
		printf("%s--%s", i > 0 ? "\n" : "", name);
	}
	fputs("'\n"
	      "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$verbs\" -- \"$word\"))\n"
	      "\telif [ \"${word#-}\" != \"$word\" ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
	      "\telse\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$(" NAMES ")\" -- \"$word\"))\n"
	      "\tfi\n"
	      "}\n"
	      "complete -o filenames -F _vm vm\n",
	      stdout);
}

/* A colon parts a word from what is said about it. */
static void print_zsh_word(const char *dashes, const char *word, const char *help)
{
	printf("\t\t'%s%s:", dashes, word);
	print_quoted(help, "'\\''");
	puts("'");
}

static void print_zsh(void)
{
	const char *name, *value, *help;
	bool is_file;
	unsigned int i;

	fputs("#compdef vm\n"
	      "_vm() {\n"
	      "\tlocal -a verbs names options files\n"
	      "\tverbs=(\n",
	      stdout);
	for (i = 0; i < vm_verb_count; i++) {
		print_zsh_word("", vm_verbs[i].name, vm_verbs[i].help);
		if (vm_verbs[i].cmdlet != NULL) {
			print_zsh_word("", vm_verbs[i].cmdlet, vm_verbs[i].help);
		}
	}
	fputs("\t)\n\toptions=(\n", stdout);
	for (i = 0; (name = vm_option(i, &value, &help, &is_file)) != NULL; i++) {
		print_zsh_word("--", name, help);
	}
	fputs("\t)\n\tfiles=(", stdout);
	for (i = 0; (name = vm_option(i, &value, &help, &is_file)) != NULL; i++) {
		if (is_file) {
			printf(" --%s", name);
		}
	}
	fputs(" )\n"
	      "\tif (( CURRENT == 2 )); then\n"
	      "\t\t_describe verb verbs\n"
	      "\telif [[ $words[CURRENT] == -* ]]; then\n"
	      "\t\t_describe option options\n"
	      "\telif (( $files[(Ie)$words[CURRENT-1]] )); then\n"
	      "\t\t_files\n"
	      "\telse\n"
	      "\t\tnames=(${(f)\"$(" NAMES ")\"})\n"
	      "\t\tcompadd -a names || _files\n"
	      "\tfi\n"
	      "}\n"
	      "compdef _vm vm 2>/dev/null\n"
	      "[[ $funcstack[1] == _vm ]] && _vm \"$@\"\n",
	      stdout);
}

static void print_fish_verb(const char *word, const char *help)
{
	printf("complete -c vm -n __fish_use_subcommand -a '%s' -d '", word);
	print_quoted(help, "\\'");
	puts("'");
}

static void print_fish(void)
{
	const char *name, *value, *help;
	bool is_file;
	unsigned int i;

	puts("complete -c vm -f");
	for (i = 0; i < vm_verb_count; i++) {
		print_fish_verb(vm_verbs[i].name, vm_verbs[i].help);
		if (vm_verbs[i].cmdlet != NULL) {
			print_fish_verb(vm_verbs[i].cmdlet, vm_verbs[i].help);
		}
	}
	for (i = 0; (name = vm_option(i, &value, &help, &is_file)) != NULL; i++) {
		printf("complete -c vm -l '%s'%s -d '", name,
		       value == NULL ? ""
		       : is_file     ? " -r -F"
				     : " -x");
		print_quoted(help, "\\'");
		puts("'");
	}
	puts("complete -c vm -n 'not __fish_use_subcommand' -a '(" NAMES ")'");
}

bool vm_print_completion(const char *shell)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
		if (strcmp(shells[i].name, shell) == 0) {
			shells[i].print();
			return true;
		}
	}
	return false;
}
