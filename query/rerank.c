/* rerank.c: see rerank.h. */
#include "query/rerank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "query/score.h"
#include "schema/file.h"
#include "schema/memory.h"
#include "schema/packed.h"

#include "schema/banned.h"

enum { GROUP = 64 }; /* candidates whose tokens are in memory as floats at the same time */

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static enum status stored_tokens(const struct reranker *r, int64_t content, float *tokens, bool *found, struct err *err)
{
	void *blob = NULL;
	size_t size;
	enum status status = STATUS_OK;

	*found = false;
	if (r->row)
		status = catalog_tokens_get(r->catalog, content, r->row->id, &blob, &size, err);
	/* A damaged blob is verify's to report; here it is as if there were none. */
	if (status == STATUS_OK && blob)
		*found = packed_tokens_read(blob, size, r->engine->tokens, r->engine->width, tokens, NULL) == STATUS_OK;
	free(blob);
	return status;
}

struct file_search {
	struct reranker *reranker;
	float *tokens, *embedding;
	bool found;
};

/* Stored tokens are 8 bit: what is encoded again goes through the same, so that the answer does not depend on the budget. */
static enum status encode_as_stored(struct file_search *s, const struct photo *photo, struct err *err)
{
	struct engine *engine = s->reranker->engine;
	size_t size = packed_tokens_size(engine->tokens, engine->width);
	void *blob = mem_array(size, 1);

	if (!blob)
		return err_memory(err, "image tokens");
	enum status status = engine_encode_file(engine, photo->path, ENGINE_LEAST(engine), s->embedding, s->tokens, err);
	if (status == STATUS_OK) {
		packed_tokens_write(s->tokens, engine->tokens, engine->width, blob);
		status = packed_tokens_read(blob, size, engine->tokens, engine->width, s->tokens, err);
	}
	free(blob);
	return status;
}

/* A file that has changed since it was indexed is another photograph. One that cannot be read counts as away. */
static enum status try_file(void *context, const struct photo *photo, struct err *err)
{
	struct file_search *s = context;
	struct stat st;

	if (s->found || photo->state != PHOTO_READY || stat(photo->path, &st) != 0 || (int64_t)st.st_size != photo->size ||
	    (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != photo->mtime_ns)
		return STATUS_OK;
	enum status status = encode_as_stored(s, photo, err);
	s->found = status == STATUS_OK;
	return status == STATUS_MEMORY ? status : STATUS_OK;
}

enum status rerank_tokens(struct reranker *r, int64_t content, float *tokens, bool *found, struct err *err)
{
	struct file_search s = {r, tokens, NULL, false};
	enum status status = stored_tokens(r, content, tokens, found, err);

	if (status != STATUS_OK || *found)
		return status;
	s.embedding = mem_floats(r->engine->embed);
	status = s.embedding ? catalog_photos_of_content(r->catalog, content, false, try_file, &s, err) : err_memory(err, "an embedding");
	free(s.embedding);
	*found = s.found;
	r->encoded += s.found;
	r->kept += !s.found;
	return status;
}

/* ---- likelihoods ------------------------------------------------------------------------------------------------ */

/* At most GROUP candidates. tokens: scratch [GROUP,N,W]; ids: [GROUP,C-1] if they are wanted one by one */
static enum status group_likelihoods(struct reranker *r, struct candidate *candidates, size_t count, float *tokens, float *ids,
				     struct err *err)
{
	size_t each = r->engine->tokens * r->engine->width, n = 0;
	struct coca_pair pairs[GROUP];
	size_t which[GROUP];
	int64_t contents[GROUP];
	float sums[GROUP];
	size_t terms = coca_config(r->engine->model)->context_length - 1;

	for (size_t i = 0; i < count; i++) {
		bool found;
		enum status status = rerank_tokens(r, candidates[i].content, tokens + n * each, &found, err);
		if (status != STATUS_OK)
			return status;
		if (!found)
			continue;
		pairs[n] = (struct coca_pair){n, 0};
		contents[n] = candidates[i].content;
		which[n++] = i;
	}
	if (n == 0)
		return STATUS_OK;
	for (size_t i = 0; i < n; i++)
		candidates[which[i]].likelihood = 0;
	for (size_t k = 0; k < r->text_count; k++) {
		enum status status = coca_likelihood(r->engine->model, r->engine->state, tokens, n, &r->texts[k], 1, pairs, n, sums, ids, err);
		if (status != STATUS_OK)
			return status;
		for (size_t i = 0; i < n; i++) {
			struct candidate *c = &candidates[which[i]];
			c->likelihood += (float)(r->weights[k] * (double)sums[i]);
			c->reranked = true;
			if (r->each)
				memcpy(r->each + (c->slot * r->text_count + k) * terms, ids + i * terms, terms * sizeof *ids);
		}
	}
	if (r->row)
		catalog_tokens_touch(r->catalog, contents, n, r->row->id);
	return STATUS_OK;
}

enum status rerank_likelihoods(struct reranker *r, struct candidate *candidates, size_t count, struct err *err)
{
	size_t each = mem_product(r->engine->tokens, r->engine->width), group = count < GROUP ? count : GROUP;
	float *tokens = mem_floats(mem_product(group, each));
	float *ids = r->each ? mem_floats(mem_product(group, coca_config(r->engine->model)->context_length)) : NULL;
	enum status status = tokens && (ids || !r->each) ? STATUS_OK : err_memory(err, "image tokens");

	for (size_t at = 0; at < count && status == STATUS_OK; at += GROUP)
		status = group_likelihoods(r, candidates + at, count - at < GROUP ? count - at : GROUP, tokens, ids, err);
	free(tokens);
	free(ids);
	return status;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static int by_score(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->content > y->content) - (x->content < y->content);
}

enum status rerank_candidates(struct reranker *r, struct candidate *candidates, size_t count, size_t depth, struct err *err)
{
	double sum = 0;
	size_t n = 0;

	if (depth > count)
		depth = count;
	enum status status = rerank_likelihoods(r, candidates, depth, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < depth; i++)
		if (candidates[i].reranked) {
			sum += (double)candidates[i].likelihood;
			n++;
		}
	/* Likelihoods count from their mean: it makes no difference to the order of those that have one. */
	double mean = n ? sum / (double)n : 0;
	for (size_t i = 0; i < count; i++) {
		double likelihood = candidates[i].reranked ? (double)candidates[i].likelihood - mean : 0;
		double similarity = (double)candidates[i].similarity + (double)candidates[i].lift;
		candidates[i].score = score_photo(r->logit_scale, similarity, likelihood);
	}
	qsort(candidates, depth, sizeof *candidates, by_score);
	return STATUS_OK;
}
