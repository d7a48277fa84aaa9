/* choices.h: names to choose among, and how probable each is for a photograph: what `coca classify` and `coca ask` print.
 *
 *     p(name | photo) = softmax over the names of logit_scale * cosine(photo, name)        (a name's embedding: classes.h)
 *
 *     struct choices choices;
 *     choices_split("dog,cat", &choices, err);
 *     choices_rank(embedding, name_embeddings, choices.count, E, logit_scale, ranked);     // or, by a head: choices_sort(p, n, ranked)
 *     choices_format(&line, choices.names, ranked, 5, &out);
 *     choices_release(&choices);
 */
#ifndef QUERY_TEACH_CHOICES_H
#define QUERY_TEACH_CHOICES_H

#include <stdbool.h>
#include <stddef.h>

#include "query/show/format.h"
#include "schema/base/status.h"

struct choices {
	char *bytes;        /* what names point into */
	const char **names;
	size_t count;
};

/* Names between commas; a file's lines. White space at their ends does not count, empty ones are left out. STATUS_USAGE if none is
 * left, or if one is given twice, which would halve its probability. */
enum status choices_split(const char *list, struct choices *choices, struct err *err);
enum status choices_read(const char *path, struct choices *choices, struct err *err);
void choices_release(struct choices *choices);

struct ranked_choice {
	size_t which;
	double probability;
	float similarity;   /* NAN: there is none */
};

/* ranked[count], the most probable first, ties in the order of the names. */
void choices_rank(const float *photo /* [E] */, const float *names /* [count,E] */, size_t count, size_t E, double logit_scale,
		  struct ranked_choice *ranked);
/* The same order of probabilities p[count] that are known already. */
void choices_sort(const float *p, size_t count, struct ranked_choice *ranked);

/* What is said of one photograph. */
struct choices_said {
	enum format format; /* text or JSON */
	const char *path;
	size_t path_size;
	const char *question; /* that the names answer; NULL: they are labels */
	bool headed;        /* of several: text begins with the path */
};
/* The best n of ranked, appended. */
void choices_format(const struct choices_said *said, const char *const *names, const struct ranked_choice *ranked, size_t n,
		    struct buffer *out);

#endif
