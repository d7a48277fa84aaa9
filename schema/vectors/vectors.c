/* vectors.c: opening, building and tuning the index of embeddings; what is asked of it goes to search.c. */
#include "schema/catalog/models.h"
#include "schema/vectors/vectors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"
#include "schema/vectors/internal.h"

#include "schema/base/banned.h"

enum {
	FILE_VERSION = 2,
	ADD_BLOCK = 16384,      /* rows handed to FAISS at once */
	LIST_SAMPLES = 64,      /* rows that k-means sees for each list; FAISS complains below 39 */
	TUNING_QUERIES = 256,
	TUNING_K = 10,
	TUNING_SEED = 1
};

/* --- building --- */

struct filling {
	struct vectors *vectors;
	size_t most;
	float *rows; /* [ADD_BLOCK,D], not yet in FAISS; NULL: there is no inverted file */
	size_t filled;
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
	vectors_put(v, v->count++, content, embedding);
	if (!f->rows)
		return STATUS_OK;
	memcpy(f->rows + f->filled * v->dim, embedding, v->dim * sizeof *embedding);
	return ++f->filled == ADD_BLOCK ? flush_rows(f, err) : STATUS_OK;
}

static enum status fill(struct vectors *v, struct catalog *catalog, size_t total, struct err *err)
{
	struct filling f = {.vectors = v, .most = total};
	enum status status = vectors_allocate(v, total, (size_t)v->model.dim, err);

	if (status == STATUS_OK && v->index && !(f.rows = mem_floats(mem_product(ADD_BLOCK, v->dim))))
		status = err_memory(err, "the vector index");
	if (status == STATUS_OK)
		status = vectors_reading(v->options.set)->each(catalog, v->model.id, v->dim, fill_row, &f, err);
	if (status == STATUS_OK)
		status = flush_rows(&f, err);
	if (status == STATUS_OK && v->count != total)
		status = err_set(err, STATUS_FORMAT, "the catalog has fewer embeddings than it counted; hint: run `coca verify`");
	if (status == STATUS_OK)
		vectors_seal(v);
	free(f.rows);
	return status;
}

static enum status train_lists(struct vectors *v, struct catalog *catalog, size_t total, struct err *err)
{
	char recipe[48];
	float *sample; /* [n,D] */
	size_t n;

	/* 4 sqrt(N), but so few that each list has its share of samples. */
	size_t lists = (size_t)lround(4 * sqrt((double)total));
	lists = lists > total / LIST_SAMPLES ? total / LIST_SAMPLES : lists;
	v->header.lists = lists ? lists : 1;
	snprintf(recipe, sizeof recipe, "IVF%" PRIu64 ",SQ8", v->header.lists);
	if (faiss_index_factory(&v->index, (int)v->model.dim, recipe, METRIC_INNER_PRODUCT) != 0)
		return vectors_faiss_failed("make an index", err);
	enum status status = vectors_sample(catalog, &v->model, v->options.set, total, v->header.lists * LIST_SAMPLES, false, 0, &sample, &n, err);
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
		status = vectors_seek(v, NULL, 0, queries, n, TUNING_K, scores, found, err);
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

static enum status tune(struct vectors *v, struct catalog *catalog, struct err *err)
{
	float *queries = NULL, *scores = NULL; /* [n,D], [n,k] */
	int64_t *truth = NULL;                 /* [n,k] */
	uint64_t lists = v->header.lists;
	size_t n;
	enum status status = vectors_sample(catalog, &v->model, v->options.set, v->count, TUNING_QUERIES, true, TUNING_SEED, &queries, &n, err);

	if (status != STATUS_OK)
		return status;
	scores = mem_floats(n * TUNING_K);
	truth = mem_array(n * TUNING_K, sizeof *truth);
	v->header.lists = 0; /* the exact answers */
	status = scores && truth ? vectors_seek(v, NULL, 0, queries, n, TUNING_K, scores, truth, err) : err_memory(err, "tuning");
	v->header.lists = lists;
	if (status == STATUS_OK)
		status = tune_probes(v, queries, n, truth, err);
	free(truth);
	free(scores);
	free(queries);
	return status;
}

/* Inside a snapshot: every pass sees the same embeddings. */
static enum status build(struct vectors *v, struct catalog *catalog, const struct vectors_identity *identity, struct err *err)
{
	size_t total;
	enum status status = vectors_reading(v->options.set)->count(catalog, v->model.id, &total, err);

	v->header.identity = *identity;
	v->rebuilt = true;
	if (status == STATUS_OK && total > v->options.flat_most) {
		v->header.recall_wanted = v->options.recall_wanted;
		status = train_lists(v, catalog, total, err);
	}
	if (status == STATUS_OK)
		status = fill(v, catalog, total, err);
	if (status == STATUS_OK && v->header.lists)
		status = tune(v, catalog, err);
	return status;
}

/* --- opening --- */

static enum status identify(struct catalog *catalog, const struct vectors *v, struct vectors_identity *identity, struct err *err)
{
	const struct catalog_model *model = &v->model;

	*identity = (struct vectors_identity){.magic = {'C', 'V', 'E', v->options.set == VECTORS_PHOTOS ? 'C' : 'T'}, .version = FILE_VERSION,
					      .model = model->id, .dim = (uint64_t)model->dim};
	snprintf(identity->uuid, sizeof identity->uuid, "%s", catalog_uuid(catalog));
	snprintf(identity->config_digest, sizeof identity->config_digest, "%s", model->config_digest);
	snprintf(identity->weights_digest, sizeof identity->weights_digest, "%s", model->weights_digest);
	snprintf(identity->faiss, sizeof identity->faiss, "%s", COCA_FAISS_VERSION);
	return vectors_reading(v->options.set)->generation(catalog, model->id, &identity->generation, err);
}

/* A file that lacks the inverted file, or has one for another recall, is rebuilt, too. One that is not asked for is passed over. */
static bool file_suits(struct vectors *v)
{
	if (v->options.check && !vectors_intact(v))
		return false;
	if (v->count > v->options.flat_most)
		return v->header.lists && v->header.recall_wanted == v->options.recall_wanted;
	v->header.lists = 0;
	return true;
}

static void describe(struct vectors *v)
{
	if (!v->header.lists)
		snprintf(v->description, sizeof v->description, "Flat");
	else
		snprintf(v->description, sizeof v->description, "IVF%" PRIu64 ",SQ8 nprobe %" PRIu64, v->header.lists, v->header.probes);
}

static enum status open_or_build(struct vectors *v, struct catalog *catalog, bool read, struct err *err)
{
	struct vectors_identity identity;
	struct buffer path = {0};
	bool own;
	enum status status = catalog_snapshot_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	/* Within the caller's own transaction the embeddings may yet be rolled back: nothing of them goes to a file. */
	bool file = !v->options.memory_only && !catalog_is_changing(catalog);
	buffer_format(&path, "%s-%s-%" PRId64 ".index", v->catalog_path, vectors_reading(v->options.set)->name, v->model.id);
	status = path.failed ? err_memory(err, "a file name") : identify(catalog, v, &identity, err);
	bool fits = status == STATUS_OK && file && read && vectors_file_read(path.data, &identity, v, NULL) == STATUS_OK;
	if (status == STATUS_OK && !(fits && file_suits(v))) {
		vectors_release(v);
		status = build(v, catalog, &identity, err);
		if (status == STATUS_OK && file)
			vectors_file_write(path.data, v, NULL); /* where it cannot be written, the next open builds it again */
	}
	catalog_snapshot_leave(catalog, own);
	buffer_release(&path);
	describe(v);
	return status;
}

enum status vectors_open(struct catalog *catalog, const struct catalog_model *model, const struct vectors_options *options,
			 struct vectors **vectors, struct err *err)
{
	struct vectors *v = mem_array(1, sizeof *v);

	*vectors = NULL;
	if (!v)
		return err_memory(err, "the vector index");
	pthread_mutex_init(&v->loading, NULL);
	pthread_rwlock_init(&v->lock, NULL);
	v->options = options ? *options : (struct vectors_options){0};
	v->options.flat_most = v->options.flat_most ? v->options.flat_most : VECTORS_FLAT_MOST;
	v->options.recall_wanted = v->options.recall_wanted > 0 ? v->options.recall_wanted : 0.99;
	v->model = *model;
	v->dim = (size_t)model->dim;
	v->catalog_path = mem_copy(catalog_path(catalog), strlen(catalog_path(catalog)));
	enum status status = v->catalog_path ? open_or_build(v, catalog, true, err) : err_memory(err, "the vector index");
	if (status != STATUS_OK) {
		vectors_close(v);
		return status;
	}
	*vectors = v;
	return STATUS_OK;
}

void vectors_close(struct vectors *vectors)
{
	if (!vectors)
		return;
	pthread_rwlock_destroy(&vectors->lock);
	pthread_mutex_destroy(&vectors->loading);
	vectors_release(vectors);
	free(vectors->catalog_path);
	free(vectors);
}

enum status vectors_current(const struct vectors *v, struct catalog *catalog, bool *current, struct err *err)
{
	int64_t generation;
	enum status status = vectors_reading(v->options.set)->generation(catalog, v->model.id, &generation, err);

	*current = status == STATUS_OK && generation == v->header.identity.generation;
	return status;
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

/* A file whose damage showed only now is built anew, by a connection of our own: the caller's may be in use by another thread. */
static enum status mend(struct vectors *v, struct err *err)
{
	struct catalog *catalog;
	enum status status = STATUS_OK;

	pthread_rwlock_wrlock(&v->lock);
	if (v->checked) { /* else another thread was here first */
		status = catalog_open(v->catalog_path, CATALOG_READ, &catalog, err);
		if (status == STATUS_OK) {
			status = open_or_build(v, catalog, false, err);
			catalog_close(catalog);
		}
		if (status != STATUS_OK)
			vectors_release(v);
	}
	pthread_rwlock_unlock(&v->lock);
	return status;
}

static enum status search(struct vectors *v, const int64_t *some, size_t some_n, const float *queries, size_t n, size_t k, float *scores,
			  int64_t *contents, struct err *err)
{
	enum status status = vectors_check_queries(queries, n, v->dim, err);

	if (status != STATUS_OK || !n || !k)
		return status;
	for (int attempt = 0;; attempt++) {
		pthread_rwlock_rdlock(&v->lock);
		bool file = v->checked != NULL;
		status = vectors_seek(v, some, some_n, queries, n, k, scores, contents, err);
		pthread_rwlock_unlock(&v->lock);
		if (status != STATUS_FORMAT || !file || attempt)
			return status;
		status = mend(v, err);
		if (status != STATUS_OK)
			return status;
	}
}

enum status vectors_search(struct vectors *v, const float *queries, size_t n, size_t k, float *scores, int64_t *contents, struct err *err)
{
	return search(v, NULL, 0, queries, n, k, scores, contents, err);
}

enum status vectors_search_some(struct vectors *v, const int64_t *some, size_t some_n, const float *queries, size_t n, size_t k,
				float *scores, int64_t *contents, struct err *err)
{
	static const int64_t none;

	return search(v, some_n ? some : &none, some_n, queries, n, k, scores, contents, err);
}
