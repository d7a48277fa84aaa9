/* prompts.h: the sentences that names of classes are put into, for zero-shot classification and for training on classes.
 *
 *     struct prompts prompts;
 *     prompts_read(path, &prompts, err);                          // NULL: those built in
 *     char *text = prompts_fill(prompts.lines[0], "tusker");      // "a photo of a tusker."
 *     prompts_release(&prompts);
 */
#ifndef MODEL_WORDS_PROMPTS_H
#define MODEL_WORDS_PROMPTS_H

#include <stddef.h>

#include "schema/base/status.h"

struct prompts {
	char *bytes;          /* what lines point into; NULL for those built in */
	const char **lines;   /* each with {} where the name stands */
	size_t count;         /* at least 1 */
};

/* A file's lines that are not blank. STATUS_USAGE: one has no {}, or there is none. STATUS_FORMAT: a NUL byte. */
enum status prompts_read(const char *path, struct prompts *prompts, struct err *err);
void prompts_release(struct prompts *prompts); /* takes a zeroed one */

/* A prompt with every {} replaced; the caller's to free, NULL when out of memory. */
char *prompts_fill(const char *prompt, const char *name);

/* What a caption such as "a photo of a tusker" names: "tusker", a part of it. Other captions are names as they are, but for their
 * article. */
const char *prompts_name(const char *caption);

#endif
