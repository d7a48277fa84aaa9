/* heads.h: heads that were taught (model/heads/head.h), by name, and what they say of each content: a cache that makes a search for a
 * label a look-up.
 *
 *     catalog_head_put(catalog, &head, labels, n, err);                       // the one of that name goes, with all that it said
 *     catalog_unscored(catalog, head.id, head.model, &contents, &n, err);
 *     catalog_scores_put(catalog, &head, content, p, has, n, err);
 *     catalog_label_find(catalog, "receipts", &label, err);                   // or "head/label"; photo_filter.label_id
 */
#ifndef SCHEMA_CATALOG_HEADS_H
#define SCHEMA_CATALOG_HEADS_H

#include "schema/catalog/catalog.h"

struct catalog_head {
	int64_t id, model;
	const char *name;       /* valid during the visit */
	const void *bytes;      /* of its file */
	size_t size;
};

/* labels: names in the order of the head's own; none of a head that answers questions. Sets head->id. */
enum status catalog_head_put(struct catalog *catalog, struct catalog_head *head, const char *const *labels, size_t n, struct err *err);
typedef enum status (*catalog_head_visitor)(void *context, const struct catalog_head *head, struct err *err);
/* name NULL: all, by name. STATUS_NOT_FOUND if a name is given and there is no such head. */
enum status catalog_heads_each(struct catalog *catalog, const char *name, catalog_head_visitor visit, void *context, struct err *err);
/* STATUS_NOT_FOUND */
enum status catalog_head_forget(struct catalog *catalog, const char *name, struct err *err);

struct catalog_label {
	int64_t id, head, model;
};
/* "receipts", "head/receipts"; the longest name of a head decides where both have slashes. STATUS_USAGE names the heads that a name is
 * ambiguous between, or the labels that there are. */
enum status catalog_label_find(struct catalog *catalog, const char *name, struct catalog_label *label, struct err *err);

/* Contents that are searched (a photo READY and there, embedded by the model) and that the head was not asked about; ascending, the
 * caller's to free. */
enum status catalog_unscored(struct catalog *catalog, int64_t head, int64_t model, int64_t **contents, size_t *n, struct err *err);
enum status catalog_unscored_count(struct catalog *catalog, int64_t head, int64_t model, size_t *n, struct err *err);

/* What is less probable than this is not worth keeping of a photograph: nobody searches for what a head all but rules out. */
#define CATALOG_SCORE_LEAST 0.02f

/* What a head says of a content: of its n labels, in its own order, how probable each is and whether it has it. Keeps what it has or may
 * have, and marks the content as asked about. */
enum status catalog_scores_put(struct catalog *catalog, int64_t head, int64_t content, const float *probabilities, const bool *has,
			       size_t n, struct err *err);

/* Contents that have a label, the most probable first, ties by content; both arrays are the caller's to free. */
enum status catalog_label_contents(struct catalog *catalog, int64_t label, double least, int64_t **contents, double **probabilities,
				   size_t *n, struct err *err);
/* How many contents that are searched have it. */
enum status catalog_label_count(struct catalog *catalog, int64_t head, size_t place, size_t *n, struct err *err);

#endif
