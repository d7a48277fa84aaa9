/* evalset.h: the samples of some shards, encoded: what `coca eval` measures on. Photographs are decoded at full size (the reference
 * crop), in parallel, and forgotten; embeddings and, for reranking, image tokens as the catalog stores them are kept.
 *
 *     struct evalset set;
 *     evalset_load(listener, &engine, paths, n, &choice, &set, err);
 *     likelihoods_fill(listener, &engine, &set, &ranking, true, err);      // likelihoods.h
 *     evalset_release(&set);
 */
#ifndef QUERY_MEASURE_EVALSET_H
#define QUERY_MEASURE_EVALSET_H

#include "query/session/engine.h"
#include "model/data/recall.h"
#include "query/session/score.h"
#include "schema/cli/options.h"

struct evalchoice {
	size_t every, offset; /* of each shard, the samples with index % every == offset */
	size_t limit;         /* photos at most; 0: all */
	bool tokens;          /* keep image tokens */
	bool classes;         /* keep first captions instead of texts */
	bool pairs;           /* keep one caption of each photo, and keys */
};

struct evalset {
	size_t photos, texts, skipped;
	float *photo_features;   /* [photos,E] */
	float *text_features;    /* [texts,E] */
	uint32_t *text_owner;    /* [texts] the photo a text belongs to */
	uint8_t *tokens;         /* [photos,token_size], as packed.h writes them; NULL unless chosen */
	size_t token_size;
	int32_t *ids;            /* [texts,C] */
	struct coca_text *encoded; /* [texts] into ids */
	char **first;            /* [photos] first captions, in classes mode */
	char **keys;             /* [photos] in pairs mode */
	size_t photo_room, text_room;
};

/* Prints each sample that cannot be read to the log and counts it in skipped. */
enum status evalset_load(const struct listener *listener, struct engine *engine, const char *const *paths, size_t n,
			 const struct evalchoice *choice, struct evalset *set, struct err *err);
void evalset_release(struct evalset *set);

#endif
