/* Guests' own programs in one file, each called by its name: a link to this. */
#include <stdio.h>
#include <string.h>

int init_main(int count, char **words), renew_main(int count, char **words), vcpu_main(int count, char **words),
    witness_main(int count, char **words);

int main(int count, char **words)
{
	static const struct { const char *name; int (*run)(int, char **); } programs[] = {
		{ "init", init_main }, { "renew", renew_main }, { "vcpu", vcpu_main },
		{ "witness", witness_main },
	};
	const char *slash = strrchr(words[0], '/'), *name = slash ? slash + 1 : words[0];
	for (unsigned i = 0; i < sizeof programs / sizeof *programs; i++)
		if (!strcmp(name, programs[i].name))
			return programs[i].run(count, words);
	fprintf(stderr, "guest: no program is called '%s'\n", name);
	return 2;
}
