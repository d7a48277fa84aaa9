/* phrases.h: the texts of a dataset, one behind the other: what people wrote, and what is said of classes, with prompts around it.
 *
 *     phrases_prompts(&c, NULL, err);                       // those built in
 *     phrases_add(&c, "a dog", 5);                          // c.list[c.count - 1]
 *     phrases_class(&c, names, n, &class);                  // c.list[class->first + which]; the same again for the same names
 *     phrases_tokenise(&c, tokenizer, context, err);
 */
#ifndef MODEL_DATA_PHRASES_H
#define MODEL_DATA_PHRASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/data/broader.h"
#include "model/words/prompts.h"
#include "model/words/tokenizer.h"
#include "schema/base/memory.h"

struct caption {
	size_t at, size;        /* in texts */
	size_t ids_at, ids_count;
	uint64_t text;          /* equal where captions say the same */
	uint64_t says;          /* bit of the broader term that it is; 0: it is none */
	bool sided;             /* says left or right */
};

/* Samples of one class share its captions: names, broader terms, then the first prompt around each of these, the second one, and so on. */
struct class {
	uint64_t key;           /* of all names */
	uint64_t shows;
	size_t first;           /* of its captions */
	uint32_t broader_count;
};

struct phrases {
	struct caption *list;
	size_t count, room;
	struct buffer texts;
	int32_t *ids;
	size_t ids_count, ids_room;
	struct prompts prompts;
	struct broader broader;
	struct class *classes;  /* [class_room], a power of two: a hash table, empty where the key is 0 */
	size_t class_count, class_room;
};

void phrases_release(struct phrases *phrases); /* takes a zeroed one */

/* What is put around names of classes (prompts.h), and terms that are broader (broader.h): before the first class. */
enum status phrases_prompts(struct phrases *phrases, const char *path, struct err *err);
enum status phrases_broader(struct phrases *phrases, const char *path, struct err *err);

/* false: out of memory. */
bool phrases_add(struct phrases *phrases, const char *text, size_t size);
/* names[count], the usual one first; *class stays valid until the next one is asked for. */
bool phrases_class(struct phrases *phrases, const char *const *names, size_t count, const struct class **class);

/* Turns every caption into ids, at most context of them each. */
enum status phrases_tokenise(struct phrases *phrases, const struct tokenizer *tokenizer, size_t context, struct err *err);

#endif
