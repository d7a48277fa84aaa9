/* duplicates.h: photographs that are the same, or look the same, in groups.
 *
 *     duplicates_find(catalog, &model, &options, &found, err);
 *     for (size_t g = 0; g < found.group_count; g++)
 *         for (size_t i = found.groups[g]; i < found.groups[g + 1]; i++) ... found.copies[i] ...    // the best one first
 *     duplicates_release(&found);
 *
 * Copies have the same content. Near copies look alike by two measures that err in different ways: a perceptual hash, which knows
 * structure and nothing else, and the embedding, which knows what is seen and is blind to detail. A pair needs both. Pairs of near hashes
 * are found by equal parts, so that not every photo is compared with every other one; those whose embeddings are near are joined to groups.
 */
#ifndef QUERY_FIND_DUPLICATES_H
#define QUERY_FIND_DUPLICATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/catalog/catalog.h"
#include "schema/catalog/models.h"
#include "schema/base/status.h"

struct duplicates_options {
	const char *in;      /* only photos below this folder; NULL: all */
	bool exact;          /* only the same content */
	unsigned bits;       /* of 64 that the hashes of a near pair may differ in; at most DUPLICATES_BITS_MOST */
	double similarity;   /* cosine that it has at least */
};
/* Of photos that have nothing in common, one pair in 25,000 differs in 16 bits or fewer. */
enum { DUPLICATES_BITS = 10, DUPLICATES_BITS_MOST = 16 };
#define DUPLICATES_SIMILARITY 0.9

struct duplicate {
	int64_t photo, content;
	int64_t pixels, bytes, time; /* time: taken, else changed; seconds */
	char *path;
	int64_t width, height;
	bool same;                   /* the same content as the best of its group */
	unsigned bits;               /* otherwise: how far it is from the best one, */
	float similarity;            /* which a chain of pairs may join it to */
};

struct duplicates {
	struct duplicate *copies;    /* group by group */
	size_t count;
	size_t *groups;              /* [group_count + 1]: where each begins, ascending by path of the best */
	size_t group_count;
	size_t unhashed;             /* photos that were indexed before hashes were kept */
};

/* model may be NULL if exact. The best is kept first: most pixels, then most bytes, then the oldest, then by path. */
enum status duplicates_find(struct catalog *catalog, const struct catalog_model *model, const struct duplicates_options *options,
			    struct duplicates *found, struct err *err);
void duplicates_release(struct duplicates *found);

#endif
