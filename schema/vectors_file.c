/* vectors_file.c: the vector cache's file.
 *
 *     header   struct vectors_header, little endian as the processor
 *     ids      [N] int64, ascending
 *     index    as faiss_write_index writes it
 *
 * FAISS trusts what it reads: a wrong size makes it allocate or read anything. So nothing is handed to it before the
 * checksum over all bytes was found right, and it reads the very file that was checked, even if that is replaced meanwhile.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "schema/file.h"
#include "schema/memory.h"
#include "schema/vectors_internal.h"

#include "schema/banned.h"

static_assert(sizeof(struct vectors_header) == 176 + 72, "the layout is the file's");

enum status vectors_faiss_failed(const char *what, struct err *err)
{
	const char *reason = faiss_get_last_error();

	return err_set(err, STATUS_FAILED, "FAISS cannot %s: %s", what, reason ? reason : "no reason given");
}

enum status vectors_adopt(struct vectors *v, struct err *err)
{
	v->count = (size_t)v->header.count;
	v->dim = (size_t)v->header.identity.dim;
	v->rows = NULL;
	if ((size_t)faiss_Index_ntotal(v->index) != v->count || (size_t)faiss_Index_d(v->index) != v->dim)
		return err_set(err, STATUS_FORMAT, "the vector index has other sizes than its header says");
	if (!v->header.lists) {
		FaissIndexFlat *flat = faiss_IndexFlat_cast(v->index);
		float *rows = NULL;
		size_t size = 0;
		if (flat)
			faiss_IndexFlat_xb(flat, &rows, &size);
		if (size != v->count * v->dim)
			return err_set(err, STATUS_FORMAT, "the vector index is not the flat one that its header says");
		v->rows = rows;
	}
	return STATUS_OK;
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
	       header->payload_hash == XXH3_64bits(bytes + sizeof *header, size - sizeof *header);
}

/* Everything but what FAISS reads. stream is left where its part begins. */
static enum status read_checked(FILE *stream, const char *path, const struct vectors_identity *identity, struct vectors *v, struct err *err)
{
	struct stat st;

	if (fstat(fileno(stream), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(err, STATUS_FORMAT, "'%s' is no vector index", path);
	size_t size = (size_t)st.st_size;
	uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fileno(stream), 0);
	if (bytes == MAP_FAILED)
		return err_set(err, STATUS_IO, "cannot map '%s': %s", path, strerror(errno));
	bool fits = file_fits(bytes, size, identity, &v->header);
	if (fits)
		v->ids = (int64_t *)(void *)mem_copy(bytes + sizeof v->header, (size_t)v->header.count * sizeof *v->ids);
	munmap(bytes, size);
	if (!fits)
		return err_set(err, STATUS_FORMAT, "the vector index '%s' is out of date or damaged", path);
	if (!v->ids)
		return err_memory(err, "the vector index");
	if (fseek(stream, (long)(sizeof v->header + v->header.count * sizeof *v->ids), SEEK_SET) != 0)
		return err_set(err, STATUS_IO, "cannot read '%s': %s", path, strerror(errno));
	return STATUS_OK;
}

enum status vectors_file_read(const char *path, const struct vectors_identity *identity, struct vectors *v, struct err *err)
{
	FILE *stream = fopen(path, "rbe");

	if (!stream)
		return err_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot open '%s': %s", path, strerror(errno));
	enum status status = read_checked(stream, path, identity, v, err);
	if (status == STATUS_OK && faiss_read_index(stream, 0, &v->index) != 0)
		status = vectors_faiss_failed("read its index", err);
	if (status == STATUS_OK)
		status = vectors_adopt(v, err);
	fclose(stream);
	if (status != STATUS_OK) {
		faiss_Index_free(v->index);
		free(v->ids);
		*v = (struct vectors){0};
	}
	return status;
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
	struct file_writer w;
	enum status status = file_writer_open(path, &w, err);

	if (status != STATUS_OK)
		return status;
	if (fwrite(&v->header, sizeof v->header, 1, w.stream) != 1 || fwrite(v->ids, sizeof *v->ids, v->count, w.stream) != v->count)
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
