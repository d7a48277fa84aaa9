/* scenes.c: draws pictures with captions, to try, test and train with.
 *
 *     build/tests/tools/scenes DIR|FILE.tar|FILE.tar.gz [--count N] [--size PX] [--seed S] [--first N] [--pairs] [--heldout]
 *
 * Writes NNNNNN.jpg beside NNNNNN.txt (two captions, one a line), into a folder or a WebDataset tar. The same seed draws the same
 * pictures; scene N depends on the seed and N alone. --pairs: two things in each, and a twin with their colours or places swapped,
 * as NNNNNN-a and NNNNNN-b with one caption each; `coca eval --pairs` asks a model which caption goes with which drawing.
 * --heldout: only pairs of colour and shape that are in no other scene.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenes/scenes.h"

#include "schema/base/banned.h"

static size_t number(const char *text)
{
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text ? text : "", &end, 10);
	if (!text || end == text || *end || errno) {
		fprintf(stderr, "scenes: '%s' is no number\n", text ? text : "");
		exit(2);
	}
	return (size_t)n;
}

int main(int argc, char **argv)
{
	struct scenes_options o = {.count = 100, .seed = 1, .side = 224};
	const char *out = NULL;
	struct err err;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--pairs") == 0)
			o.pairs = true;
		else if (strcmp(argv[i], "--heldout") == 0)
			o.heldout = true;
		else if (strcmp(argv[i], "--count") == 0)
			o.count = number(argv[++i]);
		else if (strcmp(argv[i], "--size") == 0)
			o.side = number(argv[++i]);
		else if (strcmp(argv[i], "--seed") == 0)
			o.seed = number(argv[++i]);
		else if (strcmp(argv[i], "--first") == 0)
			o.first = number(argv[++i]);
		else if (!out && argv[i][0] != '-')
			out = argv[i];
		else
			out = "";
	}
	if (!out || !*out) {
		fprintf(stderr, "usage: scenes DIR|FILE.tar|FILE.tar.gz [--count N] [--size PX] [--seed S] [--first N] [--pairs] [--heldout]\n");
		return 2;
	}
	if (scenes_write(out, &o, &err) != STATUS_OK) {
		fprintf(stderr, "scenes: %s\n", err.text);
		return 1;
	}
	fprintf(stderr, "%zu %s with captions in '%s'\n", o.count, o.pairs ? "pairs of drawings" : "drawings", out);
	return 0;
}
