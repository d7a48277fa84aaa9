/* trust.h: does this model's embedding find anything at all? */
#ifndef QUERY_TRUST_H
#define QUERY_TRUST_H

#include "query/rerank.h"
#include "schema/vectors.h"

#define TRUST_WARNING "placeholder %s"

enum status trust_check(struct reranker *reranker, const struct catalog_model *row, struct vectors *vectors, const float *embedding,
			const struct candidate *candidates, size_t count, bool *doubtful, struct err *err);
double trust_contrast(const float *near, size_t n, const float *far, size_t m);

#endif
