/* vectors.c: opening, building and searching the index of embeddings.
 *
 * Flat: FAISS uses one thread for one query, so up to a few queries are scored here, over the rows of the index, which the
 * threads share out; more go through FAISS, which turns them into matrix products, and what it finds is scored
 * again: then a photo's score does not depend on how many questions were asked at once.
 */
#include "schema/vectors.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "schema/catalog_internal.h"
#include "schema/memory.h"
#include "schema/vectors_internal.h"

#include "schema/banned.h"

enum {
	FILE_VERSION = 1,
	ADD_BLOCK = 16384,      /* rows handed to FAISS at once */
	LIST_SAMPLES = 64,      /* rows that k-means sees for each list; FAISS complains below 39 */
	TUNING_QUERIES = 256,
	TUNING_K = 10,
	TUNING_SEED = 1,
	FEW = 32,               /* queries up to which our own scan of a flat index is quicker than FAISS's */
	SPARE = 32,             /* results asked for beyond k, so that rounding and ties at the border do not matter */
	QUERY_BLOCK = 1024,
	ROWS_PER_THREAD = 2048  /* below, a thread is not worth waking */
};

/* --- building --- */

struct filling {
	struct vectors *vectors;
	float *rows;   /* [capacity,D], not yet in FAISS */
	size_t filled, capacity, most;
};

static enum status flush_rows(struct filling *f, struct err *err)
{
	if (f->filled && faiss_Index_add(f->vectors->index, (idx_t)f->filled, f->rows) != 0)
		return vectors_faiss_failed("add vectors", err);
	f->filled = 0;
	return STATUS_OK;
}

static enum status fill_row(void *context, int64_t content, const float *embedding, struct err *err)
{
	struct filling *f = context;
	struct vectors *v = f->vectors;

	if (v->count == f->most)
		return err_set(err, STATUS_FORMAT, "the catalog has more embeddings than it counted; hint: run `coca verify`");
	memcpy(f->rows + f->filled * v->dim, embedding, v->dim * sizeof *embedding);
	v->header.norm_most = fmax(v->header.norm_most, sqrt((double)vectors_dot(embedding, embedding, v->dim)));
	v->built_ids[v->count++] = content;
	return ++f->filled == f->capacity ? flush_rows(f, err) : STATUS_OK;
}

/* All embeddings into the index; in one piece if that is all the same, since FAISS doubles its memory as it grows. */
static enum status fill_index(struct vectors *v, struct catalog *catalog, int64_t model, size_t total, size_t block, struct err *err)
{
	struct filling f = {.vectors = v, .capacity = block ? block : 1, .most = total};

	v->count = 0;
	v->ids = v->built_ids = mem_array(total, sizeof *v->built_ids);
	f.rows = mem_floats(mem_product(f.capacity, v->dim));
	enum status status = v->ids && f.rows ? STATUS_OK : err_memory(err, "the vector index");
	if (status == STATUS_OK)
		status = vectors_reading(v->set)->each(catalog, model, v->dim, fill_row, &f, err);
	if (status == STATUS_OK)
		status = flush_rows(&f, err);
	v->header.count = v->count;
	free(f.rows);
	return status;
}

static enum status build_flat(struct vectors *v, struct catalog *catalog, const struct catalog_model *model, size_t total, struct err *err)
{
	if (faiss_IndexFlatIP_new_with((FaissIndexFlatIP **)&v->index, (idx_t)v->dim) != 0)
		return vectors_faiss_failed("make an index", err);
	return fill_index(v, catalog, model->id, total, total, err);
}

static enum status train_lists(struct vectors *v, struct catalog *catalog, const struct catalog_model *model, size_t total, struct err *err)
{
	char recipe[48];
	float *sample; /* [n,D] */
	size_t n;

	/* 4 sqrt(N), but so few that each list has its share of samples. */
	size_t lists = (size_t)lround(4 * sqrt((double)total));
	lists = lists > total / LIST_SAMPLES ? total / LIST_SAMPLES : lists;
	v->header.lists = lists ? lists : 1;
	snprintf(recipe, sizeof recipe, "IVF%" PRIu64 ",Flat", v->header.lists);
	if (faiss_index_factory(&v->index, (int)v->dim, recipe, METRIC_INNER_PRODUCT) != 0)
		return vectors_faiss_failed("make an index", err);
	enum status status = vectors_sample(catalog, model, v->set, total, v->header.lists * LIST_SAMPLES, false, 0, &sample, &n, err);
	if (status == STATUS_OK && faiss_Index_train(v->index, (idx_t)n, sample) != 0)
		status = vectors_faiss_failed("train an index", err);
	free(sample);
	return status;
}

static void set_probes(struct vectors *v, uint64_t probes)
{
	v->header.probes = probes;
	faiss_IndexIVF_set_nprobe(faiss_IndexIVF_cast(v->index), (size_t)probes);
}

/* The fewest lists to look into that reach the recall wanted: recall grows with them. */
static enum status tune_probes(struct vectors *v, const float *queries, size_t n, const int64_t *truth, struct err *err)
{
	uint64_t low = 1, high = v->header.lists;
	float *scores = mem_floats(n * TUNING_K);                      /* [n,k] */
	int64_t *found = mem_array(n * TUNING_K, sizeof *found);      /* [n,k] */
	enum status status = scores && found ? STATUS_OK : err_memory(err, "tuning");

	v->header.recall = 1;
	while (status == STATUS_OK && low < high) {
		uint64_t middle = low + (high - low) / 2;
		set_probes(v, middle);
		status = vectors_search(v, queries, n, TUNING_K, scores, found, err);
		double recall = status == STATUS_OK ? vectors_share(found, truth, n, TUNING_K) : 0;
		if (recall >= v->header.recall_wanted) {
			high = middle;
			v->header.recall = recall;
		} else {
			low = middle + 1;
		}
	}
	set_probes(v, high);
	free(found);
	free(scores);
	return status;
}

static enum status tune(struct vectors *v, struct catalog *catalog, const struct catalog_model *model, struct err *err)
{
	float *queries = NULL, *scores = NULL; /* [n,D], [n,k] */
	int64_t *truth = NULL;                 /* [n,k] */
	size_t n;
	enum status status = vectors_sample(catalog, model, v->set, v->count, TUNING_QUERIES, true, TUNING_SEED, &queries, &n, err);

	if (status != STATUS_OK)
		return status;
	scores = mem_floats(n * TUNING_K);
	truth = mem_array(n * TUNING_K, sizeof *truth);
	status = scores && truth ? vectors_scan_set(catalog, model, v->set, NULL, 0, queries, n, TUNING_K, scores, truth, err)
				 : err_memory(err, "tuning");
	if (status == STATUS_OK)
		status = tune_probes(v, queries, n, truth, err);
	free(truth);
	free(scores);
	free(queries);
	return status;
}

/* Inside a snapshot: every pass sees the same embeddings. */
static enum status build(struct vectors *v, struct catalog *catalog, const struct catalog_model *model, const struct vectors_identity *identity,
			 const struct vectors_options *options, struct err *err)
{
	size_t total;
	enum status status = vectors_reading(v->set)->count(catalog, model->id, &total, err);

	v->header.identity = *identity;
	v->dim = (size_t)model->dim;
	v->rebuilt = true;
	if (status != STATUS_OK)
		return status;
	if (total <= options->flat_most) {
		status = build_flat(v, catalog, model, total, err);
	} else {
		v->header.recall_wanted = options->recall_wanted;
		status = train_lists(v, catalog, model, total, err);
		if (status == STATUS_OK)
			status = fill_index(v, catalog, model->id, total, ADD_BLOCK, err);
	}
	if (status == STATUS_OK)
		status = v->header.lists ? tune(v, catalog, model, err) : vectors_flat_rows(v, err);
	return status;
}

/* --- opening --- */

static enum status identify(struct catalog *catalog, const struct catalog_model *model, enum vectors_set set, struct vectors_identity *identity,
			    struct err *err)
{
	*identity = (struct vectors_identity){.magic = {'C', 'V', 'E', set == VECTORS_PHOTOS ? 'C' : 'T'}, .version = FILE_VERSION, .model = model->id, .dim = (uint64_t)model->dim};
	snprintf(identity->uuid, sizeof identity->uuid, "%s", catalog_uuid(catalog));
	snprintf(identity->config_digest, sizeof identity->config_digest, "%s", model->config_digest);
	snprintf(identity->weights_digest, sizeof identity->weights_digest, "%s", model->weights_digest);
	snprintf(identity->faiss, sizeof identity->faiss, "%s", COCA_FAISS_VERSION);
	return vectors_reading(set)->generation(catalog, model->id, &identity->generation, err);
}

/* A file that was built with other options is rebuilt, too. */
static bool file_suits(const struct vectors *v, const struct vectors_options *options)
{
	bool flat = v->count <= options->flat_most;
	return flat ? !v->header.lists : v->header.lists && v->header.recall_wanted == options->recall_wanted;
}

/* Back to what it was before a file was read or an index built. */
static void release(struct vectors *v)
{
	faiss_Index_free(v->index);
	free(v->built_ids);
	if (v->map)
		munmap(v->map, v->map_size);
	v->header = (struct vectors_header){0};
	v->index = NULL;
	v->rows = NULL;
	v->ids = v->built_ids = NULL;
	v->map = NULL;
	v->count = v->map_size = 0;
}

static enum status open_or_build(struct vectors *v, struct catalog *catalog, const struct catalog_model *model,
				 const struct vectors_options *options, struct err *err)
{
	struct vectors_identity identity;
	struct buffer path = {0};
	bool own;
	enum status status = catalog_snapshot_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	/* Within the caller's own transaction the embeddings may yet be rolled back: nothing of them goes to a file. */
	bool file = !options->memory_only && own;
	buffer_format(&path, "%s-%s-%" PRId64 ".faiss", catalog_path(catalog), vectors_reading(v->set)->name, model->id);
	status = path.failed ? err_memory(err, "a file name") : identify(catalog, model, v->set, &identity, err);
	bool fits = status == STATUS_OK && file && vectors_file_read(path.data, &identity, v, NULL) == STATUS_OK;
	if (status == STATUS_OK && !(fits && file_suits(v, options))) {
		release(v);
		status = build(v, catalog, model, &identity, options, err);
		if (status == STATUS_OK && file)
			vectors_file_write(path.data, v, NULL); /* where it cannot be written, the next open builds it again */
	}
	catalog_snapshot_leave(catalog, own);
	buffer_release(&path);
	return status;
}

enum status vectors_open(struct catalog *catalog, const struct catalog_model *model, const struct vectors_options *options,
			 struct vectors **vectors, struct err *err)
{
	struct vectors_options o = options ? *options : (struct vectors_options){0};
	struct vectors *v = mem_array(1, sizeof *v);

	*vectors = NULL;
	if (!v)
		return err_memory(err, "the vector index");
	pthread_mutex_init(&v->loading, NULL);
	v->set = o.set;
	o.flat_most = o.flat_most ? o.flat_most : VECTORS_FLAT_MOST;
	o.recall_wanted = o.recall_wanted > 0 ? o.recall_wanted : 0.99;
	enum status status = open_or_build(v, catalog, model, &o, err);
	if (status != STATUS_OK) {
		vectors_close(v);
		return status;
	}
	if (!v->header.lists)
		snprintf(v->description, sizeof v->description, "Flat");
	else
		snprintf(v->description, sizeof v->description, "IVF%" PRIu64 ",Flat nprobe %" PRIu64, v->header.lists, v->header.probes);
	*vectors = v;
	return STATUS_OK;
}

void vectors_close(struct vectors *vectors)
{
	if (!vectors)
		return;
	pthread_mutex_destroy(&vectors->loading);
	release(vectors);
	free(vectors);
}

size_t vectors_count(const struct vectors *vectors)
{
	return vectors->count;
}

const char *vectors_describe(const struct vectors *vectors)
{
	return vectors->description;
}

bool vectors_exact(const struct vectors *vectors)
{
	return !vectors->header.lists;
}

bool vectors_rebuilt(const struct vectors *vectors)
{
	return vectors->rebuilt;
}

/* --- searching --- */

/* rows [N,D] of a flat index, the threads taking a part each. scores, contents: [n,k] */
static enum status search_rows(const struct vectors *v, const float *queries, size_t n, size_t k, float *scores, int64_t *contents,
			       struct err *err)
{
	size_t parts = 1 + v->count / ROWS_PER_THREAD, threads = (size_t)omp_get_max_threads();
	parts = parts < threads ? parts : threads;
	size_t part_k = k < v->count ? k : v->count;
	struct nearest *nearest = mem_array(mem_product(parts, n), sizeof *nearest);
	float *part_scores = mem_floats(mem_product(mem_product(parts, n), part_k));                     /* [parts,n,k] */
	int64_t *part_ids = mem_array(mem_product(mem_product(parts, n), part_k), sizeof *part_ids);     /* [parts,n,k] */
	enum status status = nearest && part_scores && part_ids ? STATUS_OK : err_memory(err, "a search");

	if (status == STATUS_OK) {
		#pragma omp parallel for schedule(static) num_threads((int)parts)
		for (size_t p = 0; p < parts; p++) {
			struct nearest *mine = nearest + p * n;
			for (size_t q = 0; q < n; q++)
				mine[q] = (struct nearest){part_k, 0, part_scores + (p * n + q) * part_k, part_ids + (p * n + q) * part_k};
			for (size_t i = v->count * p / parts; i < v->count * (p + 1) / parts; i++)
				for (size_t q = 0; q < n; q++)
					nearest_offer(&mine[q], vectors_dot(queries + q * v->dim, v->rows + i * v->dim, v->dim), v->ids[i]);
		}
		for (size_t q = 0; q < n; q++) {
			struct nearest all = {k, 0, scores + q * k, contents + q * k};
			for (size_t p = 0; p < parts; p++)
				for (size_t i = 0; i < nearest[p * n + q].n; i++)
					nearest_offer(&all, nearest[p * n + q].scores[i], nearest[p * n + q].ids[i]);
			nearest_finish(&all);
		}
	}
	free(part_ids);
	free(part_scores);
	free(nearest);
	return status;
}

/* How far two ways of adding up a query's inner product may lie apart. query: [D] */
static float rounding(const struct vectors *v, const float *query)
{
	return 2 * (float)v->dim * 0x1p-24f * sqrtf(vectors_dot(query, query, v->dim)) * (float)v->header.norm_most;
}

/* FAISS's wide best [wide] of one query become the k best, in order. False: a photo that FAISS left out might belong among them. */
static bool settle(const struct vectors *v, const float *query, const float *distances, const idx_t *labels, size_t wide,
		   size_t k, float *scores, int64_t *contents)
{
	struct nearest nearest = {k, 0, scores, contents};
	float worst = wide ? distances[wide - 1] : 0;
	bool complete = wide == v->count || !wide || labels[wide - 1] < 0;

	for (size_t i = 0; i < wide; i++) {
		if (labels[i] < 0)
			continue;
		float score = v->rows ? vectors_dot(query, v->rows + (size_t)labels[i] * v->dim, v->dim) : distances[i];
		nearest_offer(&nearest, score, v->ids[labels[i]]);
	}
	nearest_finish(&nearest);
	/* An inverted file's scores are all FAISS's own: only exact ties are at stake. */
	return complete || scores[k - 1] > worst + (v->rows ? rounding(v, query) : 0);
}

/* One query whose border was not settled. */
static enum status search_wider(const struct vectors *v, const float *query, size_t wide, size_t k, float *scores, int64_t *contents, struct err *err)
{
	if (v->rows)
		return search_rows(v, query, 1, k, scores, contents, err);
	for (bool settled = false; !settled;) {
		wide = wide < v->count / 2 ? 2 * wide : v->count;
		float *distances = mem_floats(wide);                            /* [wide] */
		idx_t *labels = mem_array(wide, sizeof *labels);                /* [wide] */
		enum status status = distances && labels ? STATUS_OK : err_memory(err, "a search");
		if (status == STATUS_OK && faiss_Index_search(v->index, 1, query, (idx_t)wide, distances, labels) != 0)
			status = vectors_faiss_failed("search", err);
		if (status == STATUS_OK)
			settled = settle(v, query, distances, labels, wide, k, scores, contents);
		free(labels);
		free(distances);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

/* A block of n queries through FAISS. distances, labels: [n,wide], scratch */
static enum status search_faiss(const struct vectors *v, const float *queries, size_t n, size_t wide, size_t k, float *distances, idx_t *labels,
				float *scores, int64_t *contents, struct err *err)
{
	bool settled[QUERY_BLOCK];
	enum status status = STATUS_OK;

	if (faiss_Index_search(v->index, (idx_t)n, queries, (idx_t)wide, distances, labels) != 0)
		return vectors_faiss_failed("search", err);
	#pragma omp parallel for schedule(static)
	for (size_t q = 0; q < n; q++)
		settled[q] = settle(v, queries + q * v->dim, distances + q * wide, labels + q * wide, wide, k, scores + q * k, contents + q * k);
	for (size_t q = 0; q < n && status == STATUS_OK; q++)
		if (!settled[q])
			status = search_wider(v, queries + q * v->dim, wide, k, scores + q * k, contents + q * k, err);
	return status;
}

enum status vectors_search(struct vectors *v, const float *queries, size_t n, size_t k, float *scores, int64_t *contents, struct err *err)
{
	enum status status = vectors_check_queries(queries, n, v->dim, err);

	if (status != STATUS_OK || !n || !k)
		return status;
	if (!v->count || (v->rows && n <= FEW))
		return search_rows(v, queries, n, k, scores, contents, err);
	if ((status = vectors_load(v, err)) != STATUS_OK)
		return status;
	size_t wide = k < v->count - (v->count < SPARE ? v->count : SPARE) ? k + SPARE : v->count;
	size_t block = n < QUERY_BLOCK ? n : QUERY_BLOCK;
	float *distances = mem_floats(mem_product(block, wide));                        /* [block,wide] */
	idx_t *labels = mem_array(mem_product(block, wide), sizeof *labels);            /* [block,wide] */
	if (!distances || !labels)
		status = err_memory(err, "a search");
	for (size_t q = 0; q < n && status == STATUS_OK; q += block)
		status = search_faiss(v, queries + q * v->dim, n - q < block ? n - q : block, wide, k, distances, labels, scores + q * k, contents + q * k,
				      err);
	free(labels);
	free(distances);
	return status;
}
