/* search.h: the contents nearest to an embedding, then the photos they stand for.
 *
 *     embedding -> search_candidates -> [rerank.h] -> search_photos -> [format.h, page.h]
 *
 * With a filter, only the contents that pass are scanned.
 */
#ifndef QUERY_FIND_SEARCH_H
#define QUERY_FIND_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/store/store.h"

struct candidate {
	int64_t content;
	float similarity;   /* cosine */
	bool reranked;
	float likelihood;   /* log p(query | photo), if reranked */
	size_t slot;        /* place by similarity alone, from 0 */
	int64_t text;       /* the text tied to it that found it (by_text.h); 0: its pixels did */
	float text_similarity, lift; /* that text's cosine; what it adds to the similarity */
	float told;         /* 0 to 1: how far the text, and not the pixels, says what the photo shows */
	double match;       /* how likely it shows what is asked for, 0 to 1; NAN: unknown (background.h) */
	double score;       /* what the list is ordered by, descending within the reranked and within the others */
};

/* What passes a filter, found out once for all who ask. */
struct passing {
	bool all;           /* the filter is empty: nothing is listed */
	int64_t *contents;  /* [count] ascending */
	size_t count;
};
enum status passing_find(struct store *store, const struct photo_filter *filter, struct passing *passing, struct err *err);
void passing_release(struct passing *passing);

/* The k nearest, best first, ties by content. *candidates is the caller's to free. *count may be less than k. */
enum status search_passing(struct store *store, const struct passing *passing, const float *embedding, size_t k, struct candidate **candidates,
			   size_t *count, struct err *err);
/* The same for a filter that is not needed again. */
enum status search_candidates(struct store *store, const struct photo_filter *filter, const float *embedding, size_t k,
			      struct candidate **candidates, size_t *count, struct err *err);

struct result {
	struct photo photo; /* its strings are those of results.photos */
	size_t rank;        /* from 1 */
	float similarity;
	bool reranked;
	float likelihood;
	size_t slot;
	double match, score;
	const char *text;   /* that found it; NULL: its pixels did; of results.texts */
	size_t text_size;
	float text_similarity;
	char *caption;      /* what is written about it, if that was asked for; may be NULL; ours */
	bool missing;       /* no such file now: its drive is away, or it was deleted since the last run */
};

struct explanation;
struct results {
	struct result *items;
	size_t count, room;
	struct store_photos *photos; /* [photo_lists]: where the rows' strings are */
	size_t photo_lists;
	struct store_texts texts;
	const struct explanation *why; /* NULL: not asked for; not ours */
};

/* Every photo of the candidates, in their order, at most `limit`; of a content's copies only those that pass the filter, and not
 * the one whose path is `leave_out` (may be NULL). */
enum status search_photos(struct store *store, const struct photo_filter *filter, const struct candidate *candidates, size_t count,
			  const char *leave_out, size_t limit, struct results *results, struct err *err);
/* Every photo that passes the filter, newest first, those without a date last: what there is where nothing is asked for. Similarity,
 * match and score are NAN. */
enum status search_newest(struct store *store, const struct photo_filter *filter, size_t limit, struct results *results, struct err *err);
/* Gives every result its content's text of the collection "captions", else its first text. */
enum status search_captions(struct store *store, struct results *results, struct err *err);
void results_release(struct results *results); /* takes a zeroed one */

#endif
