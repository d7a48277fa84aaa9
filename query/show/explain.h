/* explain.h: why a photo ranks where it does: similarity and its z, the place by similarity alone, and the likelihood word by word.
 *
 * A word's figure is its weighted log-likelihood under this photo minus its mean over all reranked photos: what is above 0
 * speaks for this photo, and the figures of a photo add up to what its likelihood is above the mean. Ids are merged into the words that
 * they spell; the end of the text counts as a word "(end)", as it does in the likelihood.
 */
#ifndef QUERY_SHOW_EXPLAIN_H
#define QUERY_SHOW_EXPLAIN_H

#include <stddef.h>

#include "query/find/background.h"
#include "query/find/rerank.h"
#include "query/find/search.h"
#include "schema/base/memory.h"

struct explained_word {
	char *text;                /* ours */
	size_t term, first, count; /* which of the reranker's texts; its likelihoods among each[C-1] */
	double mean;               /* over the reranked */
};

struct explanation {
	const struct background *background;
	const struct reranker *reranker; /* with `each`; NULL: nothing was reranked */
	struct explained_word *words;
	size_t word_count, room;
	size_t terms;                    /* C-1 */
};

/* Ids [count] of a text, start and end included, cut into words. */
enum status explain_words(const struct tokenizer *tokenizer, struct coca_text text, size_t term, struct explanation *why, struct err *err);

/* Reads the words and their means. candidates: as reranked, with their slots. */
enum status explain_open(const struct background *background, const struct reranker *reranker, const struct candidate *candidates,
			 size_t count, struct explanation *why, struct err *err);
void explain_release(struct explanation *why); /* takes a zeroed one */

/* A word's figure for the photo of that slot. */
double explain_word(const struct explanation *why, const struct explained_word *word, size_t slot);

/* Lines indented under a result; ',"explain":{...}' in its JSON object. */
void explain_text(const struct explanation *why, const struct result *result, struct buffer *out);
void explain_json(const struct explanation *why, const struct result *result, struct buffer *out);

#endif
