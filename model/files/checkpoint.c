/* checkpoint.c: see checkpoint.h. Tells the formats apart by their first bytes; safetensors.c and torch.c read them. Here is
 * what they share: the list of tensors, finding by name, conversion, and writing safetensors. */
#include "model/files/checkpoint.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/checkpoint_formats.h"
#include "schema/base/json.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

static const struct {
	const char *name;
	size_t size;
} dtypes[] = {
	[DTYPE_F32] = {"F32", 4}, [DTYPE_F16] = {"F16", 2}, [DTYPE_BF16] = {"BF16", 2}, [DTYPE_F64] = {"F64", 8},
	[DTYPE_I64] = {"I64", 8}, [DTYPE_I32] = {"I32", 4}, [DTYPE_U8] = {"U8", 1}, [DTYPE_I8] = {"I8", 1},
	[DTYPE_OTHER] = {"another type", 0},
};

static const char *dtype_name(enum dtype dtype)
{
	return dtypes[dtype].name;
}

static size_t dtype_size(enum dtype dtype)
{
	return dtypes[dtype].size;
}

/* ---- the list ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const struct tensor *const *)a)->name, (*(const struct tensor *const *)b)->name);
}

static enum status sort_names(struct checkpoint *c, struct err *err)
{
	c->by_name = mem_array(c->count, sizeof *c->by_name);
	if (!c->by_name)
		return err_memory(err, "the list of tensors");
	for (size_t i = 0; i < c->count; i++)
		c->by_name[i] = &c->tensors[i];
	qsort(c->by_name, c->count, sizeof *c->by_name, compare_names);
	for (size_t i = 1; i < c->count; i++)
		if (compare_names(&c->by_name[i - 1], &c->by_name[i]) == 0)
			return err_set(err, STATUS_FORMAT, "it has two tensors '%s'", c->by_name[i]->name);
	return STATUS_OK;
}

/* ---- opening ---- */

static bool starts_with(const struct file_map *map, const char *magic, size_t size)
{
	return map->size >= size && memcmp(map->data, magic, size) == 0;
}

static enum status read_any(struct checkpoint *c, struct err *err)
{
	static const char lfs[] = "version https://git-lfs";

	if (starts_with(&c->map, "PK\3\4", 4) || starts_with(&c->map, "PK\5\6", 4))
		return torch_read(c, err);
	if (starts_with(&c->map, "\x80\x02\x8a\x0a", 4))
		return err_set(err, STATUS_UNSUPPORTED, "it is in torch's old format, from before version 1.6; "
			       "hint: load and save it again with a newer torch, or save it as safetensors");
	if (starts_with(&c->map, lfs, sizeof lfs - 1))
		return err_set(err, STATUS_FORMAT, "it is only a pointer of Git LFS; hint: get the file itself with git lfs pull");
	return safetensors_read(c, err);
}

enum status checkpoint_open(const char *path, struct checkpoint **checkpoint, struct err *err)
{
	*checkpoint = NULL;
	struct checkpoint *c = mem_array(1, sizeof *c);
	if (!c)
		return err_memory(err, "a checkpoint");
	c->path = mem_copy(path, strlen(path));
	enum status status = c->path ? file_map_open(path, &c->map, err) : err_memory(err, "a file name");
	if (status != STATUS_OK)
		goto out;
	status = read_any(c, err);
	if (status == STATUS_OK)
		status = sort_names(c, err);
	if (status != STATUS_OK) {
		err_prefix(err, "cannot open the weights '%s'", path);
		goto out;
	}
	*checkpoint = c;
	c = NULL;
out:
	checkpoint_close(c);
	return status;
}

enum status checkpoint_parse(const void *bytes, size_t size, const char *name, struct checkpoint **checkpoint, struct err *err)
{
	struct checkpoint *c = mem_array(1, sizeof *c);

	*checkpoint = NULL;
	if (!c || !(c->path = mem_copy(name, strlen(name)))) {
		free(c);
		return err_memory(err, "a checkpoint");
	}
	c->map = (struct file_map){bytes, size};
	c->borrowed = true;
	enum status status = safetensors_read(c, err);
	if (status == STATUS_OK)
		status = sort_names(c, err);
	if (status == STATUS_OK)
		*checkpoint = c;
	else
		checkpoint_close(c);
	return status;
}

void checkpoint_close(struct checkpoint *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->metadata_count; i++) {
		free((char *)c->metadata[i].key);
		free((char *)c->metadata[i].value);
	}
	free(c->metadata);
	for (size_t i = 0; i < c->count; i++)
		free((char *)c->tensors[i].name);
	free(c->tensors);
	free(c->by_name);
	free(c->path);
	if (!c->borrowed)
		file_map_close(&c->map);
	free(c);
}

size_t checkpoint_count(const struct checkpoint *c)
{
	return c->count;
}

const struct tensor *checkpoint_at(const struct checkpoint *c, size_t i)
{
	return &c->tensors[i];
}

const char *checkpoint_path(const struct checkpoint *c)
{
	return c->path;
}

const char *checkpoint_metadata(const struct checkpoint *c, const char *key)
{
	for (size_t i = 0; i < c->metadata_count; i++)
		if (strcmp(c->metadata[i].key, key) == 0)
			return c->metadata[i].value;
	return NULL;
}

const struct tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
	struct tensor wanted = {.name = name};
	const struct tensor *key = &wanted;
	const struct tensor **found = bsearch(&key, c->by_name, c->count, sizeof *c->by_name, compare_names);
	return found ? *found : NULL;
}

/* ---- conversion ---- */

static void halves_to_floats(const uint8_t *from, size_t n, float *to)
{
	enum { SPAN = 1 << 18 };

	#pragma omp parallel for schedule(static) if (n > 1 << 20)
	for (size_t at = 0; at < n; at += SPAN)
		packed_from_half(from + 2 * at, to + at, n - at < SPAN ? n - at : SPAN);
}

static void bfloats_to_floats(const uint8_t *from, size_t n, float *to)
{
	#pragma omp parallel for schedule(static) if (n > 1 << 20)
	for (size_t i = 0; i < n; i++) {
		uint16_t upper;
		memcpy(&upper, from + 2 * i, sizeof upper);
		uint32_t bits = (uint32_t)upper << 16;
		memcpy(to + i, &bits, sizeof bits);
	}
}

static void doubles_to_floats(const uint8_t *from, size_t n, float *to)
{
	for (size_t i = 0; i < n; i++) {
		double d;
		memcpy(&d, from + 8 * i, sizeof d);
		to[i] = (float)d;
	}
}

enum status tensor_check(const struct tensor *tensor, struct err *err)
{
	switch (tensor->dtype) {
	case DTYPE_F32:
	case DTYPE_F16:
	case DTYPE_BF16:
	case DTYPE_F64: return STATUS_OK;
	default:
		return err_set(err, STATUS_UNSUPPORTED, "the tensor '%s' is of the type %s, not of floating point", tensor->name,
			       dtype_name(tensor->dtype));
	}
}

enum status tensor_floats(const struct tensor *tensor, float *to, struct err *err)
{
	switch (tensor->dtype) {
	case DTYPE_F32:
		if (tensor->size)
			memcpy(to, tensor->data, tensor->size);
		return STATUS_OK;
	case DTYPE_F16: halves_to_floats(tensor->data, tensor->count, to); return STATUS_OK;
	case DTYPE_BF16: bfloats_to_floats(tensor->data, tensor->count, to); return STATUS_OK;
	case DTYPE_F64: doubles_to_floats(tensor->data, tensor->count, to); return STATUS_OK;
	default: return tensor_check(tensor, err);
	}
}

/* ---- writing ---- */

enum { WRITE_CHUNK = 8192, HEADER_ALIGNMENT = 8 };

static size_t floats_in(const struct named_floats *t)
{
	size_t count = 1;
	for (int i = 0; i < t->dims; i++)
		count = mem_product(count, t->shape[i]);
	return count;
}

static enum dtype stored_as(const struct named_floats *t, enum dtype store)
{
	return t->codes ? DTYPE_I8 : t->whole ? DTYPE_F32 : store;
}

/* {"__metadata__":{"format":"pt"},"NAME":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},...} and spaces up to a multiple
 * of 8, so that the data behind it are aligned. */
static enum status write_header(const struct named_floats *tensors, size_t n, enum dtype store, const struct metadata *metadata, size_t m,
				struct buffer *header, struct err *err)
{
	size_t offset = 0;

	buffer_text(header, "{\"__metadata__\":{\"format\":\"pt\"");
	for (size_t i = 0; i < m; i++) {
		buffer_text(header, ",");
		json_string(header, metadata[i].key, strlen(metadata[i].key));
		buffer_text(header, ":");
		json_string(header, metadata[i].value, strlen(metadata[i].value));
	}
	buffer_text(header, "}");
	for (size_t i = 0; i < n; i++) {
		const struct named_floats *t = &tensors[i];
		size_t size = mem_product(floats_in(t), dtype_size(stored_as(t, store)));
		if (size > PTRDIFF_MAX - offset)
			return err_set(err, STATUS_MEMORY, "'%s' is too large", t->name);
		buffer_text(header, ",");
		json_string(header, t->name, strlen(t->name));
		buffer_format(header, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(stored_as(t, store)));
		for (int d = 0; d < t->dims; d++)
			buffer_format(header, "%s%zu", d ? "," : "", t->shape[d]);
		buffer_format(header, "],\"data_offsets\":[%zu,%zu]}", offset, offset + size);
		offset += size;
	}
	buffer_text(header, "}");
	while (!header->failed && header->size % HEADER_ALIGNMENT != 0)
		buffer_text(header, " ");
	return header->failed ? err_memory(err, "the header") : STATUS_OK;
}

static enum status write_halves(const struct named_floats *t, FILE *stream, struct err *err)
{
	uint16_t halves[WRITE_CHUNK];
	size_t count = floats_in(t);

	for (size_t at = 0; at < count; at += WRITE_CHUNK) {
		size_t n = count - at < WRITE_CHUNK ? count - at : WRITE_CHUNK;
		packed_to_half(t->data + at, halves, n);
		for (size_t i = 0; i < n; i++)
			if ((halves[i] & 0x7fff) == 0x7c00 && isfinite(t->data[at + i]))
				return err_set(err, STATUS_FORMAT, "'%s' holds %g, which F16 cannot", t->name, (double)t->data[at + i]);
		if (fwrite(halves, sizeof *halves, n, stream) != n)
			return err_set(err, STATUS_IO, "%s", strerror(errno));
	}
	return STATUS_OK;
}

static enum status write_tensor(const struct named_floats *t, enum dtype store, FILE *stream, struct err *err)
{
	size_t count = floats_in(t);

	if (stored_as(t, store) == DTYPE_F16)
		return write_halves(t, stream, err);
	if (fwrite(t->codes ? (const void *)t->codes : t->data, t->codes ? sizeof *t->codes : sizeof *t->data, count, stream) != count)
		return err_set(err, STATUS_IO, "%s", strerror(errno));
	return STATUS_OK;
}

enum status checkpoint_print(FILE *stream, const struct named_floats *tensors, size_t n, enum dtype store, const struct metadata *metadata,
			     size_t m, struct err *err)
{
	struct buffer header = {0};
	enum status status;

	if (store != DTYPE_F32 && store != DTYPE_F16)
		return err_set(err, STATUS_UNSUPPORTED, "weights are stored as F32 or F16");
	status = write_header(tensors, n, store, metadata, m, &header, err);
	if (status != STATUS_OK)
		goto out;
	uint64_t size = header.size; /* little endian, as all of our processors */
	if (fwrite(&size, sizeof size, 1, stream) != 1 || fwrite(header.data, 1, header.size, stream) != header.size)
		status = err_set(err, STATUS_IO, "%s", strerror(errno));
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = write_tensor(&tensors[i], store, stream, err);
out:
	buffer_release(&header);
	return status;
}

enum status checkpoint_write(const char *path, const struct named_floats *tensors, size_t n, enum dtype store,
			     const struct metadata *metadata, size_t m, struct err *err)
{
	struct file_writer writer = {0};
	enum status status = file_writer_open(path, &writer, err);

	if (status != STATUS_OK)
		return status;
	status = checkpoint_print(writer.stream, tensors, n, store, metadata, m, err);
	if (status == STATUS_OK)
		return file_writer_commit(&writer, err);
	file_writer_abort(&writer);
	return err_prefix(err, "cannot write '%s'", path);
}
