/* vectors_internal.h: what the files of vectors.h share: the k best, the one inner product that every exact path uses, and the file. */
#ifndef SCHEMA_VECTORS_INTERNAL_H
#define SCHEMA_VECTORS_INTERNAL_H

#include <pthread.h>

/* FAISS's headers declare functions as C++ does, without (void). */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/IndexIVF_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#pragma GCC diagnostic pop

#include "schema/vectors.h"

/* --- the k best (vectors_scan.c) --- */

/* Letters: N vectors, D components, Q queries, k results. A heap with the worst of up to k results at its root; better is
 * the higher score, then the lower id, so that the outcome does not depend on the order of offers. */
struct nearest {
	size_t k, n;
	float *scores; /* [k] */
	int64_t *ids;  /* [k] */
};
void nearest_offer(struct nearest *nearest, float score, int64_t id);
void nearest_finish(struct nearest *nearest); /* best first; places left over hold -INFINITY and id 0 */

/* Always adds in the same order: equal vectors have equal scores in every path. */
float vectors_dot(const float *a /* [D] */, const float *b /* [D] */, size_t dim);

/* How a set is read from the catalog. */
struct vectors_reading {
	const char *name; /* part of the file's */
	enum status (*count)(struct catalog *catalog, int64_t model, size_t *n, struct err *err);
	enum status (*each)(struct catalog *catalog, int64_t model, size_t dim, embedding_visitor visit, void *context, struct err *err);
	enum status (*get)(struct catalog *catalog, int64_t id, int64_t model, float *embedding, size_t dim, bool *found, struct err *err);
	enum status (*generation)(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err);
};
const struct vectors_reading *vectors_reading(enum vectors_set set);

/* STATUS_USAGE if a component of queries [n,dim] is no number. */
enum status vectors_check_queries(const float *queries, size_t n, size_t dim, struct err *err);

/* About `sample` embeddings, evenly spread over `total`, each with noise of its own length added: a stand-in for questions, which
 * are no photo's own embedding. *queries [*n,dim] is the caller's to free. */
enum status vectors_sample(struct catalog *catalog, const struct catalog_model *model, enum vectors_set set, size_t total, size_t sample, bool noise, uint64_t seed,
			   float **queries, size_t *n, struct err *err);
/* How many of found[n,k] are among truth[n,k], as a share of those that truth has. */
double vectors_share(const int64_t *found, const int64_t *truth, size_t n, size_t k);

/* --- the file (vectors_file.c) --- */

/* What must be the same for a file to be used. Zeroed before it is filled: compared byte by byte. */
struct vectors_identity {
	char magic[4];
	uint32_t version;
	char uuid[40], config_digest[40], weights_digest[40], faiss[24];
	int64_t model, generation;
	uint64_t dim;
};

struct vectors_header {
	struct vectors_identity identity;
	uint64_t count;
	uint64_t lists, probes;     /* 0 in a Flat index */
	double recall, recall_wanted; /* as measured by tuning, and as asked for; 0 in a Flat index */
	double norm_most;           /* length of the longest embedding */
	uint64_t padding;           /* bytes between ids and index */
	uint64_t payload_size, payload_hash; /* of what follows the header */
	uint64_t header_hash;       /* of all above */
};

struct vectors {
	struct vectors_header header;
	FaissIndex *index;  /* of a flat index from a file, NULL until vectors_load */
	const float *rows;  /* [N,D] of a flat index, in the map or FAISS's own memory; NULL: an inverted file */
	const int64_t *ids; /* [N], ascending: FAISS knows positions only */
	size_t count, dim;
	enum vectors_set set;
	int64_t *built_ids; /* where ids is, unless it is in the map */
	uint8_t *map;       /* the file, if it was read from one */
	size_t map_size;
	pthread_mutex_t loading;
	bool rebuilt;
	char description[64];
};

enum status vectors_faiss_failed(const char *what, struct err *err);
/* Makes sure that there is an index. Several threads may ask at once. */
enum status vectors_load(struct vectors *vectors, struct err *err);

/* rows of a flat index that is in FAISS's memory. */
enum status vectors_flat_rows(struct vectors *vectors, struct err *err);

/* STATUS_NOT_FOUND or STATUS_FORMAT: there is no file that fits; what was kept of it is the caller's to release. */
enum status vectors_file_read(const char *path, const struct vectors_identity *identity, struct vectors *vectors, struct err *err);
enum status vectors_file_write(const char *path, struct vectors *vectors, struct err *err);

#endif
