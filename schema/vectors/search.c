/* search.c: the exact search, at the speed of memory, on all cores, also for one query and for some of the embeddings. FAISS's
 * Flat index reads four times as much, by one thread for one query, and cannot be told which ids to look at.
 *
 *     pass 1    8-bit codes -> bounds of each score; what lies below the k-th best lower bound is out
 *     pass 2    the F16 embeddings of the few hundred that are left -> scores, best first
 *
 * The bounds hold (codes.h), so the answer is that of the plain scan, scores and ties included: recall is 1. If very many
 * cannot be told apart, as with thousands of copies, pass 2 is long, but no answer is lost.
 *
 * The inverted file (FAISS) is for collections so large that this is too slow: its best are scored again from the same F16 embeddings.
 */
#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/vectors/codes.h"
#include "schema/vectors/internal.h"

#include "schema/base/banned.h"

enum {
	GROUP = 32,           /* queries that meet a block while it is in the cache */
	SPARSE = 48,          /* fewer rows of a block: their embeddings are read at once, without the codes of the others */
	CHUNK = 8,            /* blocks that a thread takes at a time */
	BLOCKS_PER_THREAD = 8, /* below, a thread is not worth waking */
	KEPT_FIRST = 1024,
	QUERY_BLOCK = 1024,   /* queries that FAISS gets at once */
	OVERSIZE = 4, SPARE = 32 /* results asked of FAISS for each wanted, and beyond, as its order is by codes */
};

/* --- one query, one thread --- */

struct kept {
	float upper;
	uint32_t at; /* place in the collection */
};

struct seeker {
	struct nearest lower; /* the k best lower bounds; the ids are places */
	struct kept *kept;    /* what may be among the k best */
	size_t n, capacity;
};

struct asked {
	const float *query; /* [D] */
	float step, norm;   /* of its code; its length */
	float slack;        /* what its code and rounding may be off by, over all rows */
};

struct job {
	struct vectors *vectors;
	const struct asked *asked;   /* [Q] */
	const int16_t *coded;        /* [Q,S] */
	struct seeker *seekers;      /* [threads,Q] */
	size_t n, k;
	const int64_t *some;         /* NULL: all */
	size_t some_n;
	atomic_bool damaged, starved; /* the file is; out of memory */
};

static float floor_of(const struct nearest *lower)
{
	return lower->n == lower->k ? lower->scores[0] : -INFINITY;
}

static size_t sieve(struct kept *kept, size_t n, float least)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++)
		if (!(kept[i].upper < least))
			kept[left++] = kept[i];
	return left;
}

static bool keep(struct seeker *s, float upper, float lower, size_t at)
{
	nearest_offer(&s->lower, lower, (int64_t)at);
	if (s->n == s->capacity) {
		s->n = sieve(s->kept, s->n, floor_of(&s->lower));
		if (s->n > s->capacity / 2 || !s->capacity) {
			size_t capacity = s->capacity ? 2 * s->capacity : KEPT_FIRST;
			struct kept *larger = mem_resize(s->kept, capacity, sizeof *larger);
			if (!larger)
				return false;
			s->kept = larger;
			s->capacity = capacity;
		}
	}
	s->kept[s->n++] = (struct kept){upper, (uint32_t)at};
	return true;
}

/* --- pass 1 --- */

/* The places within a block of those asked for, ascending; all of them if the job is for all. */
static size_t wanted_rows(const struct job *job, size_t block, size_t rows, uint16_t *places /* [VECTORS_BLOCK] */)
{
	const struct vectors *v = job->vectors;
	const int64_t *ids = v->heads[block].ids, *from = job->some, *end = job->some + job->some_n;
	size_t n = 0;

	if (!job->some) {
		for (size_t i = 0; i < rows; i++)
			places[i] = (uint16_t)i;
		return rows;
	}
	for (size_t left = job->some_n; left;) { /* the first that is not below the block's */
		size_t half = left / 2;
		if (from[half] < ids[0]) {
			from += half + 1;
			left -= half + 1;
		} else {
			left = half;
		}
	}
	for (size_t i = 0; i < rows && from < end; i++) {
		while (from < end && *from < ids[i])
			from++;
		if (from < end && *from == ids[i])
			places[n++] = (uint16_t)i;
	}
	return n;
}

/* Whether any of those asked for can be in a block: the table spares the look at its head. */
static bool block_wanted(const struct job *job, size_t block)
{
	const struct vectors *v = job->vectors;
	int64_t first = v->table[block].first, behind = block + 1 < v->layout.blocks ? v->table[block + 1].first : INT64_MAX;
	size_t low = 0, high = job->some_n;

	if (!job->some)
		return true;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (job->some[middle] < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < job->some_n && job->some[low] < behind;
}

static bool weigh_codes(struct job *job, struct seeker *seekers, size_t block, size_t rows, const uint16_t *places, size_t n)
{
	const struct vectors *v = job->vectors;
	const struct vectors_head *head = &v->heads[block];
	int32_t dots[GROUP * VECTORS_BLOCK];
	float upper[VECTORS_BLOCK], lower[VECTORS_BLOCK];

	codes_kernel()->dot(v->codes + block * VECTORS_BLOCK * v->stride, rows, v->stride, job->coded, job->n, dots);
	for (size_t q = 0; q < job->n; q++) {
		struct asked asked = job->asked[q];
		for (size_t i = 0; i < rows; i++) {
			float score = (float)dots[q * rows + i] * (asked.step * head->scales[i]);
			float reach = asked.norm * head->residuals[i] + asked.slack;
			upper[i] = score + reach;
			lower[i] = score - reach;
		}
		float least = floor_of(&seekers[q].lower);
		for (size_t j = 0; j < n; j++) {
			size_t i = places[j];
			if (upper[i] < least)
				continue;
			if (!keep(&seekers[q], upper[i], lower[i], block * VECTORS_BLOCK + i))
				return false;
			least = floor_of(&seekers[q].lower);
		}
	}
	return true;
}

/* row: [D], scratch */
static bool weigh_rows(struct job *job, struct seeker *seekers, size_t block, const uint16_t *places, size_t n, float *row)
{
	struct vectors *v = job->vectors;

	for (size_t j = 0; j < n; j++) {
		size_t at = block * VECTORS_BLOCK + places[j];
		if (!vectors_row(v, at, row)) {
			job->damaged = true;
			return true;
		}
		for (size_t q = 0; q < job->n; q++) {
			float score = vectors_dot(job->asked[q].query, row, v->dim);
			if (!(score < floor_of(&seekers[q].lower)) && !keep(&seekers[q], score, score, at))
				return false;
		}
	}
	return true;
}

static bool seek_block(struct job *job, struct seeker *seekers, size_t block, float *row)
{
	const struct vectors *v = job->vectors;
	size_t rows = v->count - block * VECTORS_BLOCK;
	uint16_t places[VECTORS_BLOCK];

	rows = rows < VECTORS_BLOCK ? rows : VECTORS_BLOCK;
	if (!block_wanted(job, block))
		return true;
	if (!vectors_head_intact(v, block)) {
		job->damaged = true;
		return true;
	}
	size_t n = wanted_rows(job, block, rows, places);
	if (n && n < SPARSE && job->some)
		return weigh_rows(job, seekers, block, places, n, row);
	if (n && !vectors_codes_intact(v, block))
		job->damaged = true;
	else if (n)
		return weigh_codes(job, seekers, block, rows, places, n);
	return true;
}

/* --- pass 2 --- */

static int by_upper(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->upper != y->upper)
		return x->upper > y->upper ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

/* What the threads kept for one query becomes its k best. row: [D], scratch */
static void settle(struct job *job, size_t threads, size_t q, float *row, float *scores, int64_t *ids)
{
	struct vectors *v = job->vectors;
	struct seeker *all = &job->seekers[q];
	struct nearest nearest = {job->k, 0, scores, ids};

	for (size_t t = 1; t < threads; t++) {
		struct seeker *other = &job->seekers[t * job->n + q];
		for (size_t i = 0; i < other->lower.n; i++)
			nearest_offer(&all->lower, other->lower.scores[i], other->lower.ids[i]);
	}
	for (size_t t = 0; t < threads; t++) {
		struct seeker *other = &job->seekers[t * job->n + q];
		other->n = sieve(other->kept, other->n, floor_of(&all->lower));
		struct kept *larger = t ? mem_resize(all->kept, all->n + other->n + 1, sizeof *larger) : all->kept;
		if (t && !larger) {
			job->starved = true;
			return;
		}
		if (t && other->n)
			memcpy(larger + all->n, other->kept, other->n * sizeof *larger);
		all->kept = larger;
		all->n += t ? other->n : 0;
	}
	if (all->n)
		qsort(all->kept, all->n, sizeof *all->kept, by_upper);
	for (size_t i = 0; i < all->n && !(all->kept[i].upper < floor_of(&nearest)); i++) {
		size_t at = all->kept[i].at;
		if (!vectors_row(v, at, row)) {
			job->damaged = true;
			return;
		}
		nearest_offer(&nearest, vectors_dot(job->asked[q].query, row, v->dim), v->heads[at / VECTORS_BLOCK].ids[at % VECTORS_BLOCK]);
	}
	nearest_finish(&nearest);
}

/* --- a group of queries --- */

static size_t threads_for(const struct job *job)
{
	size_t most = (size_t)omp_get_max_threads(), worth = 1 + job->vectors->layout.blocks * job->n / BLOCKS_PER_THREAD;

	return worth < most ? worth : most;
}

/* slack: the query's code may be off by error, and two ways of adding up its inner product with a row by rounding. */
static void ask(const struct vectors *v, const float *query, struct asked *asked, int16_t *coded)
{
	float error;

	codes_query(query, v->dim, coded, &asked->step, &error);
	asked->query = query;
	asked->norm = sqrtf(vectors_dot(query, query, v->dim)) * 1.0001f;
	asked->slack = (error + (float)(v->dim + 8) * 0x1p-23f * asked->norm) * (float)v->header.norm_most * 1.0001f;
}

/* Both passes. row: [threads,D], scratch */
static void run(struct job *job, size_t threads, float *row, float *scores, int64_t *ids)
{
	const struct vectors *v = job->vectors;

	#pragma omp parallel num_threads((int)threads) if (threads > 1)
	{
		size_t t = (size_t)omp_get_thread_num();
		#pragma omp for schedule(dynamic, CHUNK)
		for (size_t b = 0; b < v->layout.blocks; b++)
			if (!seek_block(job, job->seekers + t * job->n, b, row + t * v->dim))
				job->starved = true;
		#pragma omp for schedule(dynamic)
		for (size_t q = 0; q < job->n; q++)
			if (!job->damaged && !job->starved)
				settle(job, threads, q, row + t * v->dim, scores + q * job->k, ids + q * job->k);
	}
}

/* Every result is empty until something is found. k: at most the collection's size */
static enum status seek_group(struct vectors *v, const int64_t *some, size_t some_n, const float *queries, size_t n, size_t k,
			      float *scores, int64_t *ids, struct err *err)
{
	struct job job = {.vectors = v, .n = n, .k = k, .some = some, .some_n = some_n};
	struct asked asked[GROUP];
	size_t threads = threads_for(&job), all = mem_product(mem_product(threads, n), k);
	int16_t *coded = mem_array(mem_product(n, v->stride), sizeof *coded);
	float *row = mem_floats(mem_product(threads, v->dim)), *lower = mem_floats(all);
	int64_t *places = mem_array(all, sizeof *places);

	job.seekers = mem_array(mem_product(threads, n), sizeof *job.seekers);
	bool ready = coded && row && lower && places && job.seekers;
	if (ready) {
		for (size_t q = 0; q < n; q++)
			ask(v, queries + q * v->dim, &asked[q], coded + q * v->stride);
		for (size_t i = 0; i < threads * n; i++)
			job.seekers[i].lower = (struct nearest){k, 0, lower + i * k, places + i * k};
		job.asked = asked;
		job.coded = coded;
		run(&job, threads, row, scores, ids);
	}
	for (size_t i = 0; job.seekers && i < threads * n; i++)
		free(job.seekers[i].kept);
	free(job.seekers);
	free(places);
	free(lower);
	free(row);
	free(coded);
	if (!ready || job.starved)
		return err_memory(err, "a search");
	return job.damaged ? err_set(err, STATUS_FORMAT, "the vector index is damaged") : STATUS_OK;
}

/* --- the inverted file --- */

/* FAISS's wide best [wide] of one query become the k best, in order. *settled false: one of equal distance might belong among them. */
static bool rescore(const struct vectors *v, const float *query, const float *distances, const idx_t *labels, size_t wide, size_t k,
		    float *row, float *scores, int64_t *ids, bool *settled)
{
	struct nearest nearest = {k, 0, scores, ids};

	for (size_t i = 0; i < wide; i++) {
		size_t at = (size_t)labels[i];
		if (labels[i] < 0 || at >= v->count)
			continue;
		if (!vectors_head_intact(v, at / VECTORS_BLOCK) || !vectors_row(v, at, row))
			return false;
		nearest_offer(&nearest, vectors_dot(query, row, v->dim), v->heads[at / VECTORS_BLOCK].ids[at % VECTORS_BLOCK]);
	}
	nearest_finish(&nearest);
	*settled = wide == v->count || labels[wide - 1] < 0 || distances[k - 1] > distances[wide - 1];
	return true;
}

/* n queries, wide results each; those that are not settled again with more. */
static enum status probe(struct vectors *v, const float *queries, size_t n, size_t wide, size_t k, float *scores, int64_t *ids,
			 struct err *err)
{
	float *distances = mem_floats(mem_product(n, wide)), *row = mem_floats(v->dim); /* [n,wide], [D] */
	idx_t *labels = mem_array(mem_product(n, wide), sizeof *labels);                /* [n,wide] */
	enum status status = distances && labels && row ? STATUS_OK : err_memory(err, "a search");

	if (status == STATUS_OK && faiss_Index_search(v->index, (idx_t)n, queries, (idx_t)wide, distances, labels) != 0)
		status = vectors_faiss_failed("search", err);
	for (size_t q = 0; q < n && status == STATUS_OK; q++) {
		bool settled = true;
		if (!rescore(v, queries + q * v->dim, distances + q * wide, labels + q * wide, wide, k, row, scores + q * k, ids + q * k, &settled))
			status = err_set(err, STATUS_FORMAT, "the vector index is damaged");
		if (status == STATUS_OK && !settled)
			status = probe(v, queries + q * v->dim, 1, wide < v->count / 2 ? 2 * wide : v->count, k, scores + q * k, ids + q * k, err);
	}
	free(labels);
	free(row);
	free(distances);
	return status;
}

static enum status seek_lists(struct vectors *v, const float *queries, size_t n, size_t k, float *scores, int64_t *ids, struct err *err)
{
	size_t wide = mem_product(k, OVERSIZE) < v->count ? OVERSIZE * k : v->count;
	enum status status = vectors_load(v, err);

	wide = wide + SPARE < v->count ? wide + SPARE : v->count;
	for (size_t q = 0; q < n && status == STATUS_OK; q += QUERY_BLOCK) {
		size_t m = n - q < QUERY_BLOCK ? n - q : QUERY_BLOCK;
		status = probe(v, queries + q * v->dim, m, wide, k, scores + q * k, ids + q * k, err);
	}
	return status;
}

/* --- both --- */

enum status vectors_seek(struct vectors *v, const int64_t *some, size_t some_n, const float *queries, size_t n, size_t k, float *scores,
			 int64_t *ids, struct err *err)
{
	enum status status = STATUS_OK;
	size_t most = k < v->count ? k : v->count;

	if (v->header.lists && !some && most == k)
		return seek_lists(v, queries, n, k, scores, ids, err);
	if (most == k) {
		for (size_t q = 0; q < n && status == STATUS_OK; q += GROUP)
			status = seek_group(v, some, some_n, queries + q * v->dim, n - q < GROUP ? n - q : GROUP, k, scores + q * k, ids + q * k, err);
		return status;
	}
	/* So many are not there: the places behind stay empty. */
	for (size_t q = 0; q < n && status == STATUS_OK; q++) {
		if (most)
			status = vectors_seek(v, some, some_n, queries + q * v->dim, 1, most, scores + q * k, ids + q * k, err);
		nearest_finish(&(struct nearest){k - most, 0, scores + q * k + most, ids + q * k + most});
	}
	return status;
}
