/* vectors_file.c: the vector cache's file.
 *
 *     header    struct vectors_header, little endian as the processor
 *     ids       [N] int64, ascending
 *     padding   so that a flat index's floats are aligned
 *     index     as faiss_write_index writes it; a flat one ends in its floats [N,D]
 *
 * FAISS trusts what it reads: a wrong size makes it allocate or read anything. So nothing is handed to it before the
 * checksum over all bytes was found right, and it reads the very bytes that were checked. A flat index is searched where it is mapped:
 * FAISS would copy it first, which takes ten times as long as one search.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "schema/file.h"
#include "schema/memory.h"
#include "schema/vectors_internal.h"

#include "schema/banned.h"

/* Alignment of a flat index's floats, and what FAISS 1.7.3 writes before them. If that were otherwise, the floats would only not
 * be found aligned, and FAISS would be asked to read them. */
enum { ALIGNMENT = 64, FLAT_PREFIX = 45 };

static_assert(sizeof(struct vectors_header) == 256, "the layout is the file's");

enum status vectors_faiss_failed(const char *what, struct err *err)
{
	const char *reason = faiss_get_last_error();

	return err_set(err, STATUS_FAILED, "FAISS cannot %s: %s", what, reason ? reason : "no reason given");
}

static size_t index_offset(const struct vectors_header *header)
{
	return sizeof *header + (size_t)header->count * sizeof(int64_t) + (size_t)header->padding;
}

static uint64_t header_hash(const struct vectors_header *header)
{
	return XXH3_64bits(header, offsetof(struct vectors_header, header_hash));
}

/* Whether the whole file is what its header says, and made for this catalog, model and generation. */
static bool file_fits(const uint8_t *bytes, size_t size, const struct vectors_identity *identity, struct vectors_header *header)
{
	if (size < sizeof *header)
		return false;
	memcpy(header, bytes, sizeof *header);
	return memcmp(&header->identity, identity, sizeof *identity) == 0 && header->header_hash == header_hash(header) &&
	       header->payload_size == size - sizeof *header && header->count <= header->payload_size / sizeof(int64_t) &&
	       header->padding < ALIGNMENT && index_offset(header) < size &&
	       header->payload_hash == XXH3_64bits(bytes + sizeof *header, size - sizeof *header);
}

static enum status map_checked(int fd, const char *path, const struct vectors_identity *identity, struct vectors *v, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(err, STATUS_FORMAT, "'%s' is no vector index", path);
	size_t size = (size_t)st.st_size;
	void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		return err_set(err, STATUS_IO, "cannot map '%s': %s", path, strerror(errno));
	v->map = map;
	v->map_size = size;
	return file_fits(map, size, identity, &v->header) ? STATUS_OK
							  : err_set(err, STATUS_FORMAT, "the vector index '%s' is out of date or damaged", path);
}

static enum status read_index(struct vectors *v, struct err *err)
{
	size_t offset = index_offset(&v->header);
	FILE *stream = fmemopen(v->map + offset, v->map_size - offset, "rb");
	enum status status = STATUS_OK;

	if (!stream)
		return err_memory(err, "the vector index");
	if (faiss_read_index(stream, 0, &v->index) != 0)
		status = vectors_faiss_failed("read its index", err);
	else if ((size_t)faiss_Index_ntotal(v->index) != v->count || (size_t)faiss_Index_d(v->index) != v->dim)
		status = err_set(err, STATUS_FORMAT, "the vector index has other sizes than its header says");
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

/* Sets what a search needs, from a file that was checked. */
static enum status adopt(struct vectors *v, struct err *err)
{
	size_t floats = mem_product(mem_product((size_t)v->header.count, (size_t)v->header.identity.dim), sizeof(float));
	size_t index_size = v->map_size - index_offset(&v->header);

	v->count = (size_t)v->header.count;
	v->dim = (size_t)v->header.identity.dim;
	v->ids = (const int64_t *)(const void *)(v->map + sizeof v->header);
	if (v->header.lists)
		return read_index(v, err);
	if (floats <= index_size && (v->map_size - floats) % ALIGNMENT == 0) {
		v->rows = (const float *)(const void *)(v->map + v->map_size - floats);
		return STATUS_OK;
	}
	enum status status = read_index(v, err);
	return status == STATUS_OK ? vectors_flat_rows(v, err) : status;
}

enum status vectors_flat_rows(struct vectors *v, struct err *err)
{
	FaissIndexFlat *flat = faiss_IndexFlat_cast(v->index);
	float *rows = NULL;
	size_t size = 0;

	if (flat)
		faiss_IndexFlat_xb(flat, &rows, &size);
	if (size != v->count * v->dim)
		return err_set(err, STATUS_FORMAT, "the vector index is not the flat one that its header says");
	v->rows = rows;
	return STATUS_OK;
}

enum status vectors_file_read(const char *path, const struct vectors_identity *identity, struct vectors *v, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot open '%s': %s", path, strerror(errno));
	enum status status = map_checked(fd, path, identity, v, err);
	close(fd);
	return status == STATUS_OK ? adopt(v, err) : status;
}

/* The payload's checksum is taken from what reached the file, before it gets its name. */
static enum status seal(struct file_writer *w, struct vectors_header *header, struct err *err)
{
	struct file_map map;

	if (fflush(w->stream) != 0)
		return err_set(err, STATUS_IO, "cannot write '%s': %s", w->path, strerror(errno));
	enum status status = file_map_open(w->temporary, &map, err);
	if (status != STATUS_OK)
		return status;
	header->payload_size = map.size - sizeof *header;
	header->payload_hash = XXH3_64bits(map.data + sizeof *header, map.size - sizeof *header);
	header->header_hash = header_hash(header);
	file_map_close(&map);
	if (fseek(w->stream, 0, SEEK_SET) != 0 || fwrite(header, sizeof *header, 1, w->stream) != 1)
		status = err_set(err, STATUS_IO, "cannot write '%s': %s", w->path, strerror(errno));
	return status;
}

enum status vectors_file_write(const char *path, struct vectors *v, struct err *err)
{
	static const char zeros[ALIGNMENT];
	struct file_writer w;
	enum status status = file_writer_open(path, &w, err);

	if (status != STATUS_OK)
		return status;
	v->header.padding = 0;
	if (!v->header.lists)
		v->header.padding = ALIGNMENT - 1 - (index_offset(&v->header) + FLAT_PREFIX - 1) % ALIGNMENT;
	if (fwrite(&v->header, sizeof v->header, 1, w.stream) != 1 || fwrite(v->ids, sizeof *v->ids, v->count, w.stream) != v->count ||
	    fwrite(zeros, 1, v->header.padding, w.stream) != v->header.padding)
		status = err_set(err, STATUS_IO, "cannot write '%s': %s", path, strerror(errno));
	if (status == STATUS_OK && faiss_write_index(v->index, w.stream) != 0)
		status = vectors_faiss_failed("write its index", err);
	if (status == STATUS_OK)
		status = seal(&w, &v->header, err);
	if (status != STATUS_OK) {
		file_writer_abort(&w);
		return status;
	}
	return file_writer_commit(&w, err);
}
