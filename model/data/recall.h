/* recall.h: photos with captions, ranked both ways: which place the right answer has, and what share is within the first k.
 *
 *     struct ranking ranking;                         // for each query its true place and its shortlist
 *     ranking_make(queries, owner_of_query, Q, items, owner_of_item, M, E, depth, &ranking, err);
 *     recall_of(ranking.place, Q)                     // {r1, r5, r10} in percent
 *     ranking_reorder(&ranking, score, context, place) // the shortlists in another order
 *
 * Letters: Q queries, M items, E embedding.
 */
#ifndef MODEL_DATA_RECALL_H
#define MODEL_DATA_RECALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

struct recall {
	double r1, r5, r10; /* percent */
};

struct shortlisted {
	uint32_t item;
	bool right;
	float cosine;
	float likelihood; /* of the text under the photo; filled by who reranks */
};

struct ranking {
	size_t queries, depth;
	uint32_t *place;           /* [Q] of the best right item, from 0: how many items are better (ties by item) */
	struct shortlisted *short_list; /* [Q,depth]: the best by cosine, descending, ties by item */
};

/* owner_of_query, owner_of_item: an item is right for a query when the owners are equal; NULL: each is its own. The place of a query
 * without a right item, or whose similarity to it is no number, is M: it finds nothing. depth is cut to M. Only a block
 * of the similarities is in memory at a time. */
enum status ranking_make(const float *queries /* [Q,E] */, const uint32_t *owner_of_query, size_t Q, const float *items /* [M,E] */,
			 const uint32_t *owner_of_item, size_t M, size_t E, size_t depth, struct ranking *ranking, struct err *err);
void ranking_release(struct ranking *ranking);

/* New score of one of a query's shortlisted items. */
typedef double (*ranking_score)(void *context, size_t query, const struct shortlisted *item);

/* place[Q]: as ranking->place, when each shortlist is in the order of score (descending, ties by item) and what is behind it
 * stays there. */
void ranking_reorder(const struct ranking *ranking, ranking_score score, void *context, uint32_t *place);

struct recall recall_of(const uint32_t *place, size_t Q);

#endif
