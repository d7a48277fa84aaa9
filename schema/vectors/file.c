/* file.c: the vector cache's file, and the same layout in memory.
 *
 *     header    struct vectors_header, little endian as the processor
 *     table     struct vectors_block for each block of 256 embeddings, then zeros up to a multiple of 64 bytes
 *     heads     struct vectors_head for each block
 *     codes     [blocks * 256, stride] int8, zeros behind the last embedding
 *     rows      [N,D] F16, then zeros up to a multiple of 64 bytes
 *     index     the inverted file as faiss_write_index writes it, if there is one
 *
 * A file that is cut, or whose header or table is not right, is refused when it is opened. All else is checked when it is first
 * used, so that a search maps no more than it needs. FAISS trusts what it reads: a wrong size makes it allocate or read
 * anything. So nothing is handed to it before the checksum over all of it was found right, and it reads the very bytes that were checked.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL /* with AVX2: twice as quick as the library's */
#include <xxhash.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "schema/vectors/codes.h"
#include "schema/vectors/internal.h"

#include "schema/base/banned.h"

enum { ALIGNMENT = 64, HALF = 2 /* bytes */ };
enum { CHECKED_HEAD = 1, CHECKED_CODES = 2 };

static_assert(sizeof(struct vectors_header) == 256 && sizeof(struct vectors_head) == 20 * VECTORS_BLOCK &&
	      sizeof(struct vectors_block) == 24, "the layout is the file's");

enum status vectors_faiss_failed(const char *what, struct err *err)
{
	const char *reason = faiss_get_last_error();

	return err_set(err, STATUS_FAILED, "FAISS cannot %s: %s", what, reason ? reason : "no reason given");
}

/* --- layout --- */

static size_t aligned(size_t n)
{
	return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

bool vectors_layout(size_t count, size_t dim, struct vectors_layout *layout)
{
	size_t blocks = count / VECTORS_BLOCK + (count % VECTORS_BLOCK != 0), row = dim * HALF;

	/* Far from an overflow. */
	if (dim > SIZE_MAX / 1024 || blocks > SIZE_MAX / 1024 / VECTORS_BLOCK / (row + 64))
		return false;
	*layout = (struct vectors_layout){.blocks = blocks, .table = sizeof(struct vectors_header)};
	layout->heads = layout->table + aligned(blocks * sizeof(struct vectors_block));
	layout->codes = layout->heads + blocks * sizeof(struct vectors_head);
	layout->rows = layout->codes + blocks * VECTORS_BLOCK * codes_stride(dim);
	layout->index = layout->rows + aligned(count * row);
	return true;
}

static void point(struct vectors *v)
{
	v->stride = codes_stride(v->dim);
	v->table = (const void *)(v->base + v->layout.table);
	v->heads = (const void *)(v->base + v->layout.heads);
	v->codes = (const void *)(v->base + v->layout.codes);
	v->rows = (const void *)(v->base + v->layout.rows);
}

enum status vectors_allocate(struct vectors *v, size_t count, size_t dim, struct err *err)
{
	if (!vectors_layout(count, dim, &v->layout))
		return err_memory(err, "the vector index");
	void *base = mmap(NULL, v->layout.index, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return err_memory(err, "the vector index");
	v->base = base;
	v->size = v->layout.index;
	v->dim = dim;
	v->count = 0;
	point(v);
	return STATUS_OK;
}

void vectors_put(struct vectors *v, size_t at, int64_t id, const float *embedding)
{
	size_t block = at / VECTORS_BLOCK, slot = at % VECTORS_BLOCK;
	struct vectors_head *head = (struct vectors_head *)(void *)(v->base + v->layout.heads) + block;
	uint8_t *row = v->base + v->layout.rows + at * v->dim * HALF;
	int8_t *codes = (int8_t *)v->base + v->layout.codes + at * v->stride;

	packed_to_half(embedding, row, v->dim);
	head->ids[slot] = id;
	head->residuals[slot] = codes_encode(embedding, v->dim, codes, &head->scales[slot]);
	head->sums[slot] = (uint32_t)XXH3_64bits(row, v->dim * HALF);
	double norm = 0;
	for (size_t i = 0; i < v->dim; i++)
		norm += (double)embedding[i] * (double)embedding[i];
	norm = sqrt(norm) + (double)head->residuals[slot];
	v->header.norm_most = norm > v->header.norm_most ? norm : v->header.norm_most;
}

static uint64_t hash_codes(const struct vectors *v, size_t block)
{
	return XXH3_64bits(v->codes + block * VECTORS_BLOCK * v->stride, VECTORS_BLOCK * v->stride);
}

void vectors_seal(struct vectors *v)
{
	struct vectors_block *table = (void *)(v->base + v->layout.table);

	v->header.count = v->count;
	#pragma omp parallel for schedule(static)
	for (size_t b = 0; b < v->layout.blocks; b++)
		table[b] = (struct vectors_block){v->heads[b].ids[0], XXH3_64bits(&v->heads[b], sizeof v->heads[b]), hash_codes(v, b)};
}

void vectors_release(struct vectors *v)
{
	faiss_Index_free(v->index);
	free(v->checked);
	if (v->base)
		munmap(v->base, v->size);
	v->header = (struct vectors_header){0};
	v->layout = (struct vectors_layout){0};
	v->index = NULL;
	v->checked = NULL;
	v->base = NULL;
	v->count = v->size = 0;
}

/* --- what was written? --- */

static bool checked(const struct vectors *v, size_t block, uint8_t what)
{
	return !v->checked || __atomic_load_n(&v->checked[block], __ATOMIC_RELAXED) & what;
}

static bool note_checked(const struct vectors *v, size_t block, uint8_t what, bool intact)
{
	if (intact)
		__atomic_fetch_or(&v->checked[block], what, __ATOMIC_RELAXED);
	return intact;
}

bool vectors_head_intact(const struct vectors *v, size_t block)
{
	return checked(v, block, CHECKED_HEAD) ||
	       note_checked(v, block, CHECKED_HEAD, XXH3_64bits(&v->heads[block], sizeof v->heads[block]) == v->table[block].head);
}

bool vectors_codes_intact(const struct vectors *v, size_t block)
{
	return checked(v, block, CHECKED_CODES) || note_checked(v, block, CHECKED_CODES, hash_codes(v, block) == v->table[block].codes);
}

bool vectors_row(const struct vectors *v, size_t at, float *embedding)
{
	const uint16_t *row = v->rows + at * v->dim;

	packed_from_half(row, embedding, v->dim);
	return !v->checked || (uint32_t)XXH3_64bits(row, v->dim * HALF) == v->heads[at / VECTORS_BLOCK].sums[at % VECTORS_BLOCK];
}

static bool index_intact(const struct vectors *v)
{
	return !v->checked || !v->header.lists || XXH3_64bits(v->base + v->layout.index, v->header.index_size) == v->header.index_hash;
}

bool vectors_intact(const struct vectors *v)
{
	bool intact = index_intact(v);

	#pragma omp parallel for schedule(static) reduction(&& : intact)
	for (size_t b = 0; b < v->layout.blocks; b++) {
		size_t first = b * VECTORS_BLOCK, end = first + VECTORS_BLOCK < v->count ? first + VECTORS_BLOCK : v->count;
		intact = intact && vectors_head_intact(v, b) && vectors_codes_intact(v, b);
		for (size_t i = first; i < end && intact; i++)
			intact = !v->checked || (uint32_t)XXH3_64bits(v->rows + i * v->dim, v->dim * HALF) == v->heads[b].sums[i - first];
	}
	return intact;
}

/* --- reading --- */

static uint64_t header_hash(const struct vectors_header *header)
{
	return XXH3_64bits(header, offsetof(struct vectors_header, header_hash));
}

static uint64_t table_hash(const struct vectors *v)
{
	return XXH3_64bits(v->table, v->layout.heads - v->layout.table);
}

/* Whether a mapped file is as long as its header says, and made for this catalog, model and generation. */
static bool adopt(struct vectors *v, const struct vectors_identity *identity)
{
	if (v->size < sizeof v->header)
		return false;
	memcpy(&v->header, v->base, sizeof v->header);
	if (memcmp(&v->header.identity, identity, sizeof *identity) != 0 || v->header.header_hash != header_hash(&v->header) ||
	    v->header.count > v->size || !vectors_layout((size_t)v->header.count, (size_t)identity->dim, &v->layout) ||
	    v->layout.index > v->size || v->header.index_size != v->size - v->layout.index)
		return false;
	v->count = (size_t)v->header.count;
	v->dim = (size_t)identity->dim;
	point(v);
	v->checked = mem_array(v->layout.blocks, 1);
	return v->checked && table_hash(v) == v->header.table_hash;
}

static enum status map_checked(int fd, const char *path, const struct vectors_identity *identity, struct vectors *v, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(err, STATUS_FORMAT, "'%s' is no vector index", path);
	void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (base == MAP_FAILED)
		return err_set(err, STATUS_IO, "cannot map '%s': %s", path, strerror(errno));
	v->base = base;
	v->size = (size_t)st.st_size;
	return adopt(v, identity) ? STATUS_OK : err_set(err, STATUS_FORMAT, "the vector index '%s' is out of date or damaged", path);
}

enum status vectors_file_read(const char *path, const struct vectors_identity *identity, struct vectors *v, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot open '%s': %s", path, strerror(errno));
	enum status status = map_checked(fd, path, identity, v, err);
	close(fd);
	return status;
}

static enum status read_index(struct vectors *v, struct err *err)
{
	enum status status = STATUS_OK;

	if (!index_intact(v))
		return err_set(err, STATUS_FORMAT, "the vector index is damaged");
	FILE *stream = fmemopen(v->base + v->layout.index, v->header.index_size, "rb");
	if (!stream)
		return err_memory(err, "the vector index");
	if (faiss_read_index(stream, 0, &v->index) != 0)
		status = vectors_faiss_failed("read its index", err);
	else if ((size_t)faiss_Index_ntotal(v->index) != v->count || (size_t)faiss_Index_d(v->index) != v->dim)
		status = err_set(err, STATUS_FORMAT, "the vector index has other sizes than its header says");
	if (status == STATUS_OK)
		faiss_IndexIVF_set_nprobe(faiss_IndexIVF_cast(v->index), (size_t)v->header.probes);
	fclose(stream);
	return status;
}

enum status vectors_load(struct vectors *v, struct err *err)
{
	pthread_mutex_lock(&v->loading);
	enum status status = v->index ? STATUS_OK : read_index(v, err);
	pthread_mutex_unlock(&v->loading);
	return status;
}

/* --- writing --- */

static enum status failed(const struct file_writer *w, struct err *err)
{
	return err_set(err, STATUS_IO, "cannot write '%s': %s", w->path, strerror(errno));
}

/* FAISS's part, and its checksum, taken from what reached the file. */
static enum status write_index(struct file_writer *w, struct vectors *v, struct err *err)
{
	struct file_map map;

	if (faiss_write_index(v->index, w->stream) != 0)
		return vectors_faiss_failed("write its index", err);
	if (fflush(w->stream) != 0)
		return failed(w, err);
	enum status status = file_map_open(w->temporary, &map, err);
	if (status != STATUS_OK)
		return status;
	v->header.index_size = map.size - v->layout.index;
	v->header.index_hash = XXH3_64bits(map.data + v->layout.index, v->header.index_size);
	file_map_close(&map);
	return STATUS_OK;
}

enum status vectors_file_write(const char *path, struct vectors *v, struct err *err)
{
	size_t start = sizeof v->header, size = v->layout.index - start;
	struct file_writer w;
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(err, STATUS_IO, "cannot write '%s': no regular file", path); /* nobody waits for a FIFO's reader */
	enum status status = file_writer_open(path, &w, err);
	if (status != STATUS_OK)
		return status;
	file_like(fileno(w.stream), v->catalog_path);
	if (fwrite(&v->header, start, 1, w.stream) != 1 || (size && fwrite(v->base + start, size, 1, w.stream) != 1))
		status = failed(&w, err);
	if (status == STATUS_OK && v->index)
		status = write_index(&w, v, err);
	v->header.table_hash = table_hash(v);
	v->header.header_hash = header_hash(&v->header);
	if (status == STATUS_OK && (fseek(w.stream, 0, SEEK_SET) != 0 || fwrite(&v->header, start, 1, w.stream) != 1))
		status = failed(&w, err);
	if (status != STATUS_OK) {
		file_writer_abort(&w);
		return status;
	}
	return file_writer_commit(&w, err);
}
