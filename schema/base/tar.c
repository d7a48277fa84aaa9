/* tar.c: see tar.h. Known: ustar with its prefix, GNU's long names and base-256 sizes, pax headers (path, size). zlib reads plain
 * and compressed files alike, by content. */
#include "schema/base/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "schema/base/banned.h"

enum { BLOCK = TAR_BLOCK };

#define EXTENSION_MOST ((size_t)1 << 20) /* of a long name or a pax header */

struct tar {
	char *path;
	gzFile file;
	uint64_t offset;      /* bytes of the archive read so far */
	struct buffer name;   /* of the member */
	uint64_t size;
	uint64_t unread;      /* of its data and their padding */
};

/* ---- reading the stream ------------------------------------------------------------------------------------------- */

static enum status damaged(const struct tar *tar, struct err *err, const char *what)
{
	return err_set(err, STATUS_FORMAT, "cannot read '%s': %s at byte %llu of the archive", tar->path, what,
		       (unsigned long long)tar->offset);
}

/* *got < size only at the end of the file. */
static enum status read_some(struct tar *tar, void *to, size_t size, size_t *got, struct err *err)
{
	int code;

	*got = 0;
	while (*got < size) {
		size_t part = size - *got < 1 << 20 ? size - *got : 1 << 20;
		int n = gzread(tar->file, (char *)to + *got, (unsigned)part);
		if (n <= 0)
			break;
		*got += (size_t)n;
		tar->offset += (uint64_t)n;
	}
	if (*got == size)
		return STATUS_OK;
	const char *why = gzerror(tar->file, &code);
	if (code == Z_ERRNO)
		return err_set(err, STATUS_IO, "cannot read '%s': %s", tar->path, strerror(errno));
	if (code == Z_BUF_ERROR)
		return damaged(tar, err, "the compressed data end early");
	if (code == Z_MEM_ERROR)
		return err_memory(err, tar->path);
	if (code != Z_OK && code != Z_STREAM_END)
		return damaged(tar, err, *why ? why : "damaged compressed data");
	return STATUS_OK;
}

static enum status read_exactly(struct tar *tar, void *to, size_t size, struct err *err)
{
	size_t got;
	enum status status = read_some(tar, to, size, &got, err);

	if (status == STATUS_OK && got < size)
		status = damaged(tar, err, "the file ends inside a member");
	return status;
}

static uint64_t padding(uint64_t size)
{
	return (BLOCK - size % BLOCK) % BLOCK;
}

static enum status skip(struct tar *tar, uint64_t size, struct err *err)
{
	char waste[32 * BLOCK];
	enum status status = STATUS_OK;

	while (status == STATUS_OK && size) {
		size_t part = size < sizeof waste ? (size_t)size : sizeof waste;
		status = read_exactly(tar, waste, part, err);
		size -= part;
	}
	return status;
}

/* Appends size bytes. Memory grows with what is really there: a header may lie. */
static enum status read_data(struct tar *tar, uint64_t size, struct buffer *to, struct err *err)
{
	char part[32 * BLOCK];
	enum status status = STATUS_OK;
	uint64_t left = size;

	while (status == STATUS_OK && left) {
		size_t n = left < sizeof part ? (size_t)left : sizeof part;
		status = read_exactly(tar, part, n, err);
		if (status == STATUS_OK)
			buffer_append(to, part, n);
		left -= n;
	}
	if (status == STATUS_OK && to->failed)
		status = err_memory(err, "a member of an archive");
	if (status == STATUS_OK)
		status = skip(tar, padding(size), err);
	return status;
}

/* ---- headers ------------------------------------------------------------------------------------------------------ */

/* Octal digits between spaces and a NUL or space, or base 256 if the first bit is set. */
static bool parse_number(const uint8_t *field, size_t size, uint64_t *value)
{
	size_t i = 0;

	*value = 0;
	if (field[0] & 0x80) {
		if (field[0] != 0x80) /* negative, or too large for anything */
			return false;
		for (i = 1; i < size; i++) {
			if (*value >> 55)
				return false;
			*value = *value << 8 | field[i];
		}
		return true;
	}
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
		if (*value >> 60)
			return false;
		*value = *value << 3 | (uint64_t)(field[i] - '0');
	}
	return i == size || field[i] == ' ' || field[i] == '\0';
}

/* Old writers summed signed bytes. */
static bool checksum_fits(const uint8_t *block)
{
	uint64_t stored;
	int64_t plain = 0, with_sign = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		uint8_t byte = i >= TAR_SUM_AT && i < TAR_SUM_AT + TAR_SUM_SIZE ? ' ' : block[i];
		plain += byte;
		with_sign += (int8_t)byte;
	}
	return parse_number(block + TAR_SUM_AT, TAR_SUM_SIZE, &stored) && ((int64_t)stored == plain || (int64_t)stored == with_sign);
}

static bool all_zero(const uint8_t *block)
{
	for (size_t i = 0; i < BLOCK; i++)
		if (block[i])
			return false;
	return true;
}

static size_t field_length(const uint8_t *field, size_t size)
{
	const uint8_t *end = memchr(field, '\0', size);
	return end ? (size_t)(end - field) : size;
}

/* One record of a pax header: "LENGTH KEY=VALUE\n"; advances *at. */
static bool pax_record(const struct buffer *pax, size_t *at, const char **key, size_t *key_size, const char **value, size_t *value_size)
{
	const char *start = pax->data + *at;
	size_t left = pax->size - *at, length = 0, i = 0;

	for (; i < left && start[i] >= '0' && start[i] <= '9' && length <= left; i++)
		length = length * 10 + (size_t)(start[i] - '0');
	if (i == 0 || i == left || start[i] != ' ' || length > left || length < i + 3 || start[length - 1] != '\n')
		return false;
	const char *equals = memchr(start + i + 1, '=', length - i - 2);
	if (!equals)
		return false;
	*key = start + i + 1;
	*key_size = (size_t)(equals - *key);
	*value = equals + 1;
	*value_size = (size_t)(start + length - 1 - *value);
	*at += length;
	return true;
}

static bool is_key(const char *key, size_t size, const char *name)
{
	return size == strlen(name) && memcmp(key, name, size) == 0;
}

/* What extensions say of the member that follows them. */
struct ahead {
	struct buffer name;
	bool has_size;
	uint64_t size;
};

static enum status pax_size(const struct tar *tar, const char *digits, size_t count, struct ahead *ahead, struct err *err)
{
	ahead->size = 0;
	ahead->has_size = count > 0;
	for (size_t i = 0; i < count; i++) {
		if (digits[i] < '0' || digits[i] > '9' || ahead->size > INT64_MAX / 16)
			return damaged(tar, err, "a pax header gives an impossible size");
		ahead->size = ahead->size * 10 + (uint64_t)(digits[i] - '0');
	}
	return STATUS_OK;
}

static enum status pax_apply(const struct tar *tar, const struct buffer *pax, struct ahead *ahead, struct err *err)
{
	const char *key, *value;
	size_t key_size, value_size;
	enum status status = STATUS_OK;

	for (size_t at = 0; at < pax->size && status == STATUS_OK;) {
		if (!pax_record(pax, &at, &key, &key_size, &value, &value_size))
			return damaged(tar, err, "a pax header is malformed");
		if (key_size > 11 && memcmp(key, "GNU.sparse.", 11) == 0)
			return err_set(err, STATUS_UNSUPPORTED, "cannot read '%s': it holds a sparse file", tar->path);
		if (is_key(key, key_size, "path")) {
			buffer_release(&ahead->name);
			buffer_append(&ahead->name, value, value_size);
		} else if (is_key(key, key_size, "size")) {
			status = pax_size(tar, value, value_size, ahead, err);
		}
	}
	return status;
}

/* The name in the header itself. */
static void header_name(const uint8_t *block, struct buffer *name)
{
	size_t prefix = memcmp(block + TAR_MAGIC_AT, "ustar\0", 6) == 0 ? field_length(block + TAR_PREFIX_AT, TAR_PREFIX_SIZE) : 0;

	if (prefix) {
		buffer_append(name, block + TAR_PREFIX_AT, prefix);
		buffer_text(name, "/");
	}
	buffer_append(name, block + TAR_NAME_AT, field_length(block + TAR_NAME_AT, TAR_NAME_SIZE));
}

/* After the end mark: what is left is padding, read so that a compressed file's checksum is verified. */
static enum status finish(struct tar *tar, struct err *err)
{
	char waste[32 * BLOCK];
	size_t got = sizeof waste;
	enum status status = STATUS_OK;

	for (int i = 0; i < 64 && status == STATUS_OK && got == sizeof waste; i++)
		status = read_some(tar, waste, sizeof waste, &got, err);
	return status;
}

/* Reads one header block. *end: it was the end mark. */
static enum status read_header(struct tar *tar, uint8_t block[BLOCK], uint64_t *size, bool *end, struct err *err)
{
	size_t got;
	enum status status = read_some(tar, block, BLOCK, &got, err);

	*end = false;
	if (status != STATUS_OK)
		return status;
	if (got < BLOCK)
		return damaged(tar, err, got ? "the file ends inside a header" : "the file ends without an end mark: it was cut off");
	if (all_zero(block)) {
		*end = true;
		return STATUS_OK;
	}
	if (!checksum_fits(block)) {
		if (tar->offset == BLOCK)
			return err_set(err, STATUS_FORMAT, "cannot read '%s': it is not a tar archive, plain or gzip-compressed",
				       tar->path);
		return damaged(tar, err, "a header's checksum is wrong");
	}
	if (!parse_number(block + TAR_SIZE_AT, TAR_SIZE_SIZE, size))
		return damaged(tar, err, "a header gives an impossible size");
	return STATUS_OK;
}

/* A header that is no member: its type and size. *taken: it was one. */
static enum status take_extension(struct tar *tar, char type, uint64_t size, struct ahead *ahead, bool *taken, struct err *err)
{
	struct buffer pax = {0};
	enum status status;

	*taken = true;
	if (type && strchr("LKxg", type) && size > EXTENSION_MOST)
		return damaged(tar, err, "a header's extension is too long");
	switch (type) {
	case 'L': /* GNU: the name of the next member */
		buffer_release(&ahead->name);
		return read_data(tar, size, &ahead->name, err);
	case 'x':
		status = read_data(tar, size, &pax, err);
		if (status == STATUS_OK)
			status = pax_apply(tar, &pax, ahead, err);
		buffer_release(&pax);
		return status;
	case 'K': /* the target of a link */
	case 'g': /* for all members: none of it matters here */
		return skip(tar, size + padding(size), err);
	case 'S':
		return err_set(err, STATUS_UNSUPPORTED, "cannot read '%s': it holds a sparse file", tar->path);
	}
	*taken = false;
	return STATUS_OK;
}

/* Before POSIX a folder was a file whose name ends so. Links, devices and folders have no data. */
static bool is_regular(char type, const struct buffer *name)
{
	return (type == '0' || type == '\0' || type == '7') && name->size && name->data[name->size - 1] != '/';
}

/* Reads headers up to the next regular file's. */
static enum status find_file(struct tar *tar, struct ahead *ahead, bool *found, struct err *err)
{
	uint8_t block[BLOCK];
	bool end = false, extension;
	enum status status = STATUS_OK;

	while (status == STATUS_OK && !end && !*found) {
		uint64_t size = 0;
		status = read_header(tar, block, &size, &end, err);
		if (status != STATUS_OK || end)
			continue;
		char type = (char)block[TAR_TYPE_AT];
		status = take_extension(tar, type, size, ahead, &extension, err);
		if (status != STATUS_OK || extension)
			continue;
		if (!ahead->name.size)
			header_name(block, &ahead->name);
		tar->size = ahead->has_size ? ahead->size : size;
		*found = is_regular(type, &ahead->name);
		if (*found)
			continue;
		if (type < '1' || type > '6')
			status = skip(tar, tar->size + padding(tar->size), err);
		buffer_release(&ahead->name);
		ahead->has_size = false;
	}
	if (status == STATUS_OK && end)
		status = finish(tar, err);
	return status == STATUS_OK && ahead->name.failed ? err_memory(err, "a member's name") : status;
}

enum status tar_next(struct tar *tar, struct tar_member *member, struct err *err)
{
	struct ahead ahead = {0};
	bool found = false;
	enum status status = skip(tar, tar->unread, err);

	*member = (struct tar_member){0};
	tar->unread = 0;
	if (status == STATUS_OK)
		status = find_file(tar, &ahead, &found, err);
	if (status == STATUS_OK && found) {
		const char *plain = ahead.name.data;
		while (plain[0] == '.' && plain[1] == '/')
			plain += 2;
		buffer_release(&tar->name);
		buffer_append(&tar->name, plain, strlen(plain)); /* GNU's long names bring their NUL */
		tar->unread = tar->size + padding(tar->size);
		*member = (struct tar_member){tar->name.data, tar->size};
		status = tar->name.failed ? err_memory(err, "a member's name") : STATUS_OK;
	}
	buffer_release(&ahead.name);
	return status;
}

enum status tar_read(struct tar *tar, struct buffer *to, struct err *err)
{
	tar->unread = 0;
	return read_data(tar, tar->size, to, err);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

enum status tar_open(const char *path, struct tar **tar, struct err *err)
{
	struct tar *t = mem_array(1, sizeof *t);
	enum status status = STATUS_OK;
	int fd = -1;

	*tar = NULL;
	if (!t || !(t->path = mem_copy(path, strlen(path)))) {
		status = err_memory(err, "an archive");
		goto out;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		status = err_set(err, errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO, "cannot open '%s': %s", path,
				 strerror(errno));
		goto out;
	}
	t->file = gzdopen(fd, "rb");
	if (!t->file) {
		close(fd);
		status = err_memory(err, "an archive");
		goto out;
	}
	gzbuffer(t->file, 1 << 17);
out:
	if (status == STATUS_OK)
		*tar = t;
	else
		tar_close(t);
	return status;
}

const char *tar_path(const struct tar *tar)
{
	return tar->path;
}

void tar_close(struct tar *tar)
{
	if (!tar)
		return;
	if (tar->file)
		gzclose(tar->file);
	buffer_release(&tar->name);
	free(tar->path);
	free(tar);
}
