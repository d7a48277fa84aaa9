/* merging.h: a word's bytes become ids by the merges of a vocabulary, the one of the lowest rank first.
 *
 *     struct merging m = {.vocabulary = v};
 *     if (merging_word(&m, "dogs", 4))
 *         for (int32_t i = 0; i >= 0; i = m.pieces[i].after) { ... m.pieces[i].id ... }
 *     merging_release(&m);
 *
 * Takes time like n log n of a word's bytes, however long it is.
 */
#ifndef MODEL_WORDS_MERGING_H
#define MODEL_WORDS_MERGING_H

#include "model/words/vocabulary.h"

/* A symbol of a word, in a list from left to right. */
struct piece {
	int32_t id;            /* -1: it has been joined to the one before */
	int32_t before, after; /* -1 at the ends */
};

struct candidate;
struct merging {
	const struct vocabulary *vocabulary;
	struct piece *pieces;  /* the last word's */
	struct candidate *heap, *round; /* the lowest rank first, then from the left; those of one rank */
	size_t heap_size, piece_room, heap_room, round_room;
};

/* A word of at least one byte. False: out of memory. */
bool merging_word(struct merging *m, const char *word, size_t size);
void merging_release(struct merging *m);

#endif
