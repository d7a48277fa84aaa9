/* scan.c: the exact scan of the catalog's own embeddings: the plain twin of the index, and
 * what recall is measured against. */
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/models.h"
#include "schema/catalog/internal.h"
#include "schema/catalog/texts.h"
#include "schema/base/memory.h"
#include "schema/base/random.h"
#include "schema/vectors/internal.h"

#include "schema/base/banned.h"

enum {
	BLOCK = 256,         /* rows that are scored together: with 512 components, half a megabyte */
	LOOKUPS_MOST = 16384 /* so many single look-ups are quicker than reading every row of a large library */
};

/* --- the k best --- */

static bool worse(float score, int64_t id, float than_score, int64_t than_id)
{
	return score < than_score || (score == than_score && id > than_id);
}

static void put(struct nearest *h, size_t at, float score, int64_t id)
{
	h->scores[at] = score;
	h->ids[at] = id;
}

/* Lets an entry sink from `at` in the heap of n, the worst being on top. */
static void sink(struct nearest *h, size_t n, size_t at, float score, int64_t id)
{
	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && worse(h->scores[child + 1], h->ids[child + 1], h->scores[child], h->ids[child]))
			child++;
		if (!worse(h->scores[child], h->ids[child], score, id))
			break;
		put(h, at, h->scores[child], h->ids[child]);
	}
	put(h, at, score, id);
}

void nearest_offer(struct nearest *h, float score, int64_t id)
{
	if (h->n == h->k) {
		if (h->k && worse(h->scores[0], h->ids[0], score, id))
			sink(h, h->n, 0, score, id);
		return;
	}
	size_t at = h->n++;
	while (at) {
		size_t parent = (at - 1) / 2;
		if (!worse(score, id, h->scores[parent], h->ids[parent]))
			break;
		put(h, at, h->scores[parent], h->ids[parent]);
		at = parent;
	}
	put(h, at, score, id);
}

void nearest_finish(struct nearest *h)
{
	for (size_t n = h->n; n > 1; n--) {
		float score = h->scores[n - 1];
		int64_t id = h->ids[n - 1];
		put(h, n - 1, h->scores[0], h->ids[0]);
		sink(h, n - 1, 0, score, id);
	}
	for (size_t i = h->n; i < h->k; i++)
		put(h, i, -INFINITY, 0);
}

/* Four registers of running sums, as one would wait for its own last addition. */
float vectors_dot(const float *a, const float *b, size_t dim)
{
	__m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	size_t i = 0;

	for (; i + 32 <= dim; i += 32) {
		s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
		s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
		s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
		s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
	}
	s0 = _mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3));
	__m128 half = _mm_add_ps(_mm256_castps256_ps128(s0), _mm256_extractf128_ps(s0, 1));
	half = _mm_add_ps(half, _mm_movehl_ps(half, half));
	float sum = _mm_cvtss_f32(half) + _mm_cvtss_f32(_mm_movehdup_ps(half));
	for (; i < dim; i++)
		sum += a[i] * b[i];
	return sum;
}

enum status vectors_check_queries(const float *queries, size_t n, size_t dim, struct err *err)
{
	for (size_t i = 0; i < n * dim; i++)
		if (!isfinite(queries[i]))
			return err_set(err, STATUS_USAGE, "component %zu of query %zu is not a number", i % dim, i / dim);
	return STATUS_OK;
}

const struct vectors_reading *vectors_reading(enum vectors_set set)
{
	static const struct vectors_reading readings[] = {
		[VECTORS_PHOTOS] = {"vectors", catalog_embeddings_count, catalog_embeddings_each, catalog_embedding_get_live, catalog_generation},
		[VECTORS_TEXTS] = {"texts", catalog_text_embeddings_count, catalog_text_embeddings_each, catalog_text_embedding_get,
				   catalog_text_generation},
	};

	return &readings[set];
}

/* --- the scan --- */

struct scan {
	const struct vectors_reading *reading;
	size_t dim, queries_n;
	const float *queries;       /* [Q,D] */
	struct nearest *nearest;    /* [Q], in the caller's result arrays */
	float *rows;                /* [BLOCK,D] */
	int64_t ids[BLOCK];
	size_t filled;
	const int64_t *contents;    /* NULL: all; else what is left to be met, ascending */
	size_t contents_n;
};

static void score_block(struct scan *scan)
{
	#pragma omp parallel for schedule(static) if (scan->queries_n > 3)
	for (size_t q = 0; q < scan->queries_n; q++)
		for (size_t i = 0; i < scan->filled; i++)
			nearest_offer(&scan->nearest[q], vectors_dot(scan->queries + q * scan->dim, scan->rows + i * scan->dim, scan->dim), scan->ids[i]);
	scan->filled = 0;
}

static enum status scan_row(void *context, int64_t content, const float *embedding, struct err *err)
{
	struct scan *scan = context;

	(void)err;
	if (scan->contents) {
		for (; scan->contents_n && *scan->contents < content; scan->contents_n--)
			scan->contents++;
		if (!scan->contents_n || *scan->contents != content)
			return STATUS_OK;
	}
	memcpy(scan->rows + scan->filled * scan->dim, embedding, scan->dim * sizeof *embedding);
	scan->ids[scan->filled] = content;
	if (++scan->filled == BLOCK)
		score_block(scan);
	return STATUS_OK;
}

static enum status scan_lookups(struct catalog *catalog, int64_t model, struct scan *scan, struct err *err)
{
	const int64_t *contents = scan->contents;
	float *embedding = mem_floats(scan->dim); /* [D] */
	enum status status = embedding ? STATUS_OK : err_memory(err, "an embedding");

	scan->contents = NULL;
	for (size_t i = 0; status == STATUS_OK && i < scan->contents_n; i++) {
		bool found;
		status = scan->reading->get(catalog, contents[i], model, embedding, scan->dim, &found, err);
		if (status == STATUS_OK && found)
			status = scan_row(scan, contents[i], embedding, err);
	}
	free(embedding);
	return status;
}

enum status vectors_scan(struct catalog *catalog, const struct catalog_model *model, const int64_t *contents, size_t count,
			 const float *queries, size_t n, size_t k, float *scores, int64_t *found, struct err *err)
{
	return vectors_scan_set(catalog, model, VECTORS_PHOTOS, contents, count, queries, n, k, scores, found, err);
}

enum status vectors_scan_set(struct catalog *catalog, const struct catalog_model *model, enum vectors_set set, const int64_t *contents,
			     size_t count, const float *queries, size_t n, size_t k, float *scores, int64_t *found, struct err *err)
{
	struct scan *scan = mem_array(1, sizeof *scan);
	size_t dim = (size_t)model->dim;
	enum status status = vectors_check_queries(queries, n, dim, err);
	bool own = false;

	if (scan) {
		scan->rows = mem_floats(mem_product(BLOCK, dim));
		scan->nearest = mem_array(n, sizeof *scan->nearest);
	}
	if (status == STATUS_OK && !(scan && scan->rows && scan->nearest))
		status = err_memory(err, "a scan of the embeddings");
	if (status == STATUS_OK)
		status = catalog_snapshot_enter(catalog, &own, err);
	if (status != STATUS_OK)
		goto out;
	scan->reading = vectors_reading(set);
	scan->dim = dim;
	scan->queries = queries;
	scan->queries_n = n;
	scan->contents = contents;
	scan->contents_n = count;
	for (size_t q = 0; q < n; q++)
		scan->nearest[q] = (struct nearest){k, 0, scores + q * k, found + q * k};
	if (contents && count <= LOOKUPS_MOST)
		status = scan_lookups(catalog, model->id, scan, err);
	else
		status = scan->reading->each(catalog, model->id, dim, scan_row, scan, err);
	score_block(scan);
	for (size_t q = 0; q < n; q++)
		nearest_finish(&scan->nearest[q]);
	catalog_snapshot_leave(catalog, own);
out:
	if (scan) {
		free(scan->rows);
		free(scan->nearest);
	}
	free(scan);
	return status;
}

/* --- samples of the collection as queries --- */

struct sampler {
	size_t total, wanted, seen, taken, dim;
	bool noise;
	uint64_t state;
	float *queries; /* [wanted,D] */
};

/* query: [D]. Adds Gaussian noise whose expected length is the query's own. */
static void add_noise(float *query, size_t dim, uint64_t *state)
{
	double scale = sqrt((double)vectors_dot(query, query, dim) / (double)dim);

	for (size_t i = 0; i < dim; i++)
		query[i] += (float)(scale * random_normal(state));
}

static enum status sample_row(void *context, int64_t content, const float *embedding, struct err *err)
{
	struct sampler *s = context;

	(void)content;
	(void)err;
	size_t due = (size_t)((double)++s->seen * (double)s->wanted / (double)s->total);
	if (due <= s->taken || s->taken == s->wanted)
		return STATUS_OK;
	float *query = s->queries + s->taken++ * s->dim;
	memcpy(query, embedding, s->dim * sizeof *embedding);
	if (s->noise)
		add_noise(query, s->dim, &s->state);
	return STATUS_OK;
}

enum status vectors_sample(struct catalog *catalog, const struct catalog_model *model, enum vectors_set set, size_t total, size_t sample,
			   bool noise, uint64_t seed, float **queries, size_t *n, struct err *err)
{
	struct sampler s = {.total = total, .wanted = sample < total ? sample : total, .dim = (size_t)model->dim, .noise = noise, .state = seed};

	*queries = NULL;
	*n = 0;
	s.queries = mem_floats(mem_product(s.wanted, s.dim));
	if (!s.queries)
		return err_memory(err, "a sample of the embeddings");
	enum status status = vectors_reading(set)->each(catalog, model->id, s.dim, sample_row, &s, err);
	if (status != STATUS_OK) {
		free(s.queries);
		return status;
	}
	*queries = s.queries;
	*n = s.taken;
	return STATUS_OK;
}

double vectors_share(const int64_t *found, const int64_t *truth, size_t n, size_t k)
{
	size_t hits = 0, there = 0;

	for (size_t q = 0; q < n; q++) {
		for (size_t i = 0; i < k && truth[q * k + i]; i++) {
			there++;
			for (size_t j = 0; j < k; j++)
				hits += found[q * k + j] == truth[q * k + i];
		}
	}
	return there ? (double)hits / (double)there : 1;
}

enum status vectors_recall(struct vectors *vectors, struct catalog *catalog, const struct catalog_model *model, size_t sample, size_t k,
			   double *recall, struct err *err)
{
	enum { SEED = 2 }; /* not that of tuning */
	float *queries = NULL, *scores = NULL; /* [n,D], [n,k] */
	int64_t *found = NULL, *truth = NULL;  /* [n,k] */
	size_t n;
	enum status status = vectors_sample(catalog, model, vectors->options.set, vectors_count(vectors), sample, true, SEED, &queries, &n, err);

	*recall = 0;
	if (status != STATUS_OK)
		goto out;
	scores = mem_floats(mem_product(n, k));
	found = mem_array(mem_product(n, k), sizeof *found);
	truth = mem_array(mem_product(n, k), sizeof *truth);
	if (!scores || !found || !truth) {
		status = err_memory(err, "a measurement of recall");
		goto out;
	}
	status = vectors_scan_set(catalog, model, vectors->options.set, NULL, 0, queries, n, k, scores, truth, err);
	if (status == STATUS_OK)
		status = vectors_search(vectors, queries, n, k, scores, found, err);
	if (status == STATUS_OK)
		*recall = vectors_share(found, truth, n, k);
out:
	free(truth);
	free(found);
	free(scores);
	free(queries);
	return status;
}
