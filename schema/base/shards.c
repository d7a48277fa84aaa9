/* shards.c: see shards.h.
 *
 * A tar is read as a stream of 512-byte blocks: a header, then the member's data padded to whole blocks, at the end two
 * blocks of zeros. Known: ustar with its prefix, GNU's long names and base-256 sizes, pax headers (path, size). zlib reads
 * plain and compressed files alike, by content.
 *
 *     offset  0 name[100]   124 size[12]   148 checksum[8]   156 type   257 magic[6]   345 prefix[155]
 */
#include "schema/base/shards.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { BLOCK = 512, NAME_AT = 0, NAME_SIZE = 100, SIZE_AT = 124, SIZE_SIZE = 12, SUM_AT = 148, SUM_SIZE = 8, TYPE_AT = 156 };
enum { MAGIC_AT = 257, PREFIX_AT = 345, PREFIX_SIZE = 155 };

#define MEMBER_MOST ((size_t)1 << 30)   /* of a photograph */
#define TEXT_MOST ((size_t)16 << 20)    /* of a txt */
#define EXTENSION_MOST ((size_t)1 << 20) /* of a long name or a pax header */

enum kind { KIND_OTHER, KIND_IMAGE, KIND_TEXT };

/* The next member that belongs to a sample: its header has been read, its data have not. */
struct member {
	bool there;
	enum kind kind;
	struct buffer name;   /* as the archive has it, NUL-terminated */
	size_t key_size;      /* of name: up to the first dot of the last component */
	uint64_t size;
};

struct shard {
	char *path;
	gzFile file;
	uint64_t offset;      /* bytes of the tar read so far */
	struct member next;
	size_t skipped;

	struct buffer key, image, text;
	const char **captions;
	size_t caption_count;
};

/* ---- reading the stream ------------------------------------------------------------------------------------------- */

static enum status damaged(const struct shard *shard, struct err *err, const char *what)
{
	return err_set(err, STATUS_FORMAT, "cannot read '%s': %s at byte %llu of the archive", shard->path, what,
		       (unsigned long long)shard->offset);
}

/* *got < size only at the end of the file. */
static enum status read_some(struct shard *shard, void *to, size_t size, size_t *got, struct err *err)
{
	int code;

	*got = 0;
	while (*got < size) {
		size_t part = size - *got < 1 << 20 ? size - *got : 1 << 20;
		int n = gzread(shard->file, (char *)to + *got, (unsigned)part);
		if (n <= 0)
			break;
		*got += (size_t)n;
		shard->offset += (uint64_t)n;
	}
	if (*got == size)
		return STATUS_OK;
	const char *why = gzerror(shard->file, &code);
	if (code == Z_ERRNO)
		return err_set(err, STATUS_IO, "cannot read '%s': %s", shard->path, strerror(errno));
	if (code == Z_BUF_ERROR)
		return damaged(shard, err, "the compressed data end early");
	if (code == Z_MEM_ERROR)
		return err_memory(err, shard->path);
	if (code != Z_OK && code != Z_STREAM_END)
		return damaged(shard, err, *why ? why : "damaged compressed data");
	return STATUS_OK;
}

static enum status read_exactly(struct shard *shard, void *to, size_t size, struct err *err)
{
	size_t got;
	enum status status = read_some(shard, to, size, &got, err);

	if (status == STATUS_OK && got < size)
		status = damaged(shard, err, "the file ends inside a member");
	return status;
}

static uint64_t padding(uint64_t size)
{
	return (BLOCK - size % BLOCK) % BLOCK;
}

static enum status skip(struct shard *shard, uint64_t size, struct err *err)
{
	char waste[32 * BLOCK];
	enum status status = STATUS_OK;

	while (status == STATUS_OK && size) {
		size_t part = size < sizeof waste ? (size_t)size : sizeof waste;
		status = read_exactly(shard, waste, part, err);
		size -= part;
	}
	return status;
}

/* Appends size bytes and skips the padding. Memory grows with what is really there: a header may lie. */
static enum status read_data(struct shard *shard, uint64_t size, struct buffer *to, struct err *err)
{
	char part[32 * BLOCK];
	enum status status = STATUS_OK;
	uint64_t left = size;

	while (status == STATUS_OK && left) {
		size_t n = left < sizeof part ? (size_t)left : sizeof part;
		status = read_exactly(shard, part, n, err);
		if (status == STATUS_OK)
			buffer_append(to, part, n);
		left -= n;
	}
	if (status == STATUS_OK && to->failed)
		status = err_memory(err, "a member of a shard");
	if (status == STATUS_OK)
		status = skip(shard, padding(size), err);
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
		uint8_t byte = i >= SUM_AT && i < SUM_AT + SUM_SIZE ? ' ' : block[i];
		plain += byte;
		with_sign += (int8_t)byte;
	}
	return parse_number(block + SUM_AT, SUM_SIZE, &stored) && ((int64_t)stored == plain || (int64_t)stored == with_sign);
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

/* Takes path and size from a pax header for the member that follows it. */
static enum status pax_apply(const struct shard *shard, const struct buffer *pax, struct buffer *name, bool *has_size, uint64_t *size,
			     struct err *err)
{
	const char *key, *value;
	size_t key_size, value_size;

	for (size_t at = 0; at < pax->size;) {
		if (!pax_record(pax, &at, &key, &key_size, &value, &value_size))
			return damaged(shard, err, "a pax header is malformed");
		if (key_size > 11 && memcmp(key, "GNU.sparse.", 11) == 0)
			return err_set(err, STATUS_UNSUPPORTED, "cannot read '%s': it holds a sparse file", shard->path);
		if (is_key(key, key_size, "path")) {
			buffer_release(name);
			buffer_append(name, value, value_size);
		} else if (is_key(key, key_size, "size")) {
			*size = 0;
			*has_size = value_size > 0;
			for (size_t i = 0; i < value_size; i++) {
				if (value[i] < '0' || value[i] > '9' || *size > INT64_MAX / 16)
					return damaged(shard, err, "a pax header gives an impossible size");
				*size = *size * 10 + (uint64_t)(value[i] - '0');
			}
		}
	}
	return STATUS_OK;
}

/* The name in the header itself. */
static void header_name(const uint8_t *block, struct buffer *name)
{
	size_t prefix = memcmp(block + MAGIC_AT, "ustar\0", 6) == 0 ? field_length(block + PREFIX_AT, PREFIX_SIZE) : 0;

	if (prefix) {
		buffer_append(name, block + PREFIX_AT, prefix);
		buffer_text(name, "/");
	}
	buffer_append(name, block + NAME_AT, field_length(block + NAME_AT, NAME_SIZE));
}

/* Splits at the first dot of the last component and says what the member is to us. */
static enum kind member_kind(const char *name, size_t *key_size)
{
	const char *slash = strrchr(name, '/');
	const char *last = slash ? slash + 1 : name;
	const char *dot = strchr(last, '.');

	if (!dot || dot == last) /* no extension, or a hidden file such as macOS's "._000001.jpg" */
		return KIND_OTHER;
	*key_size = (size_t)(dot - name);
	if (strcasecmp(dot, ".txt") == 0)
		return KIND_TEXT;
	if (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".webp") == 0)
		return KIND_IMAGE;
	return KIND_OTHER;
}

/* After the end mark: what is left is padding, read so that a compressed file's checksum is verified. */
static enum status finish(struct shard *shard, struct err *err)
{
	char waste[32 * BLOCK];
	size_t got = sizeof waste;
	enum status status = STATUS_OK;

	for (int i = 0; i < 64 && status == STATUS_OK && got == sizeof waste; i++)
		status = read_some(shard, waste, sizeof waste, &got, err);
	return status;
}

/* Reads one header block. *end: it was the end mark. */
static enum status read_header(struct shard *shard, uint8_t block[BLOCK], uint64_t *size, bool *end, struct err *err)
{
	size_t got;
	enum status status = read_some(shard, block, BLOCK, &got, err);

	*end = false;
	if (status != STATUS_OK)
		return status;
	if (got < BLOCK)
		return damaged(shard, err, got ? "the file ends inside a header" : "the file ends without an end mark: it was cut off");
	if (all_zero(block)) {
		*end = true;
		return STATUS_OK;
	}
	if (!checksum_fits(block)) {
		if (shard->offset == BLOCK)
			return err_set(err, STATUS_FORMAT, "cannot read '%s': it is not a tar archive, plain or gzip-compressed",
				       shard->path);
		return damaged(shard, err, "a header's checksum is wrong");
	}
	if (!parse_number(block + SIZE_AT, SIZE_SIZE, size))
		return damaged(shard, err, "a header gives an impossible size");
	return STATUS_OK;
}

/* Reads headers up to the next regular file's; its name and size go to shard->next. */
static enum status next_file(struct shard *shard, struct err *err)
{
	struct buffer name = {0}, pax = {0};
	uint8_t block[BLOCK];
	uint64_t size = 0, pax_size = 0;
	bool end = false, has_size = false, found = false;
	enum status status = STATUS_OK;

	shard->next.there = false;
	while (status == STATUS_OK && !end && !found) {
		status = read_header(shard, block, &size, &end, err);
		if (status != STATUS_OK || end)
			continue;
		char type = (char)block[TYPE_AT];
		if (strchr("LKxg", type) && type && size > EXTENSION_MOST) {
			status = damaged(shard, err, "a header's extension is too long");
			continue;
		}
		switch (type) {
		case 'L': /* GNU: the name of the next member */
			buffer_release(&name);
			status = read_data(shard, size, &name, err);
			continue;
		case 'x':
			buffer_release(&pax);
			status = read_data(shard, size, &pax, err);
			if (status == STATUS_OK)
				status = pax_apply(shard, &pax, &name, &has_size, &pax_size, err);
			continue;
		case 'K': /* the target of a link */
		case 'g': /* for all members: none of it matters here */
			status = skip(shard, size + padding(size), err);
			continue;
		case 'S':
			status = err_set(err, STATUS_UNSUPPORTED, "cannot read '%s': it holds a sparse file", shard->path);
			continue;
		}
		if (!name.size)
			header_name(block, &name);
		if (has_size)
			size = pax_size;
		/* Before POSIX a folder was a file whose name ends so. Links, devices and folders have no data. */
		found = (type == '0' || type == '\0' || type == '7') && name.size && name.data[name.size - 1] != '/';
		if (!found && (type < '1' || type > '6'))
			status = skip(shard, size + padding(size), err);
		if (!found) {
			buffer_release(&name);
			has_size = false;
		}
	}
	if (status == STATUS_OK && end)
		status = finish(shard, err);
	if (status == STATUS_OK && name.failed)
		status = err_memory(err, "a member's name");
	if (status == STATUS_OK && found) {
		const char *plain = name.data;
		while (plain[0] == '.' && plain[1] == '/')
			plain += 2;
		buffer_release(&shard->next.name);
		buffer_append(&shard->next.name, plain, strlen(plain)); /* GNU's long names bring their NUL */
		shard->next.size = size;
		shard->next.there = true;
	}
	buffer_release(&name);
	buffer_release(&pax);
	return status;
}

/* The next photograph or text; shard->next.there says whether there is one. */
static enum status next_member(struct shard *shard, struct err *err)
{
	enum status status;

	while ((status = next_file(shard, err)) == STATUS_OK && shard->next.there) {
		struct member *m = &shard->next;
		if (m->name.failed)
			return err_memory(err, "a member's name");
		m->kind = member_kind(m->name.data, &m->key_size);
		if (m->kind != KIND_OTHER)
			break;
		status = skip(shard, m->size + padding(m->size), err);
		if (status != STATUS_OK)
			break;
	}
	return status;
}

/* ---- samples ------------------------------------------------------------------------------------------------------ */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts shard->text into lines; captions point into it. */
static enum status split_captions(struct shard *shard, struct err *err)
{
	size_t lines = 1;

	shard->caption_count = 0;
	if (!shard->text.size)
		return STATUS_OK;
	char *text = shard->text.data, *end = text + shard->text.size;
	if (shard->text.size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	for (char *p = text; p < end; p++)
		lines += *p == '\n';
	const char **captions = mem_resize(shard->captions, lines, sizeof *captions);
	if (!captions)
		return err_memory(err, "captions");
	shard->captions = captions;
	while (text < end) {
		char *line_end = memchr(text, '\n', (size_t)(end - text));
		char *next = line_end ? line_end + 1 : end;
		if (!line_end)
			line_end = end;
		while (text < line_end && is_space(*text))
			text++;
		while (line_end > text && is_space(line_end[-1]))
			line_end--;
		if (line_end > text) {
			*line_end = '\0'; /* at most the NUL behind the buffer */
			captions[shard->caption_count++] = text;
		}
		text = next;
	}
	return STATUS_OK;
}

static enum status read_member(struct shard *shard, struct buffer *to, size_t most, struct err *err)
{
	if (shard->next.size > most)
		return err_set(err, STATUS_MEMORY, "cannot read '%s': its member '%s' has %llu bytes, the limit is %zu", shard->path,
			       shard->next.name.data, (unsigned long long)shard->next.size, most);
	to->size = 0;
	return read_data(shard, shard->next.size, to, err);
}

/* Reads the members of one key. A second image is not used; the same extension again begins another sample, as it does
 * where archives were joined. */
static enum status read_sample(struct shard *shard, bool *has_image, bool *has_text, struct err *err)
{
	enum status status = STATUS_OK;
	struct member *m = &shard->next;
	struct buffer image_name = {0};

	*has_image = *has_text = false;
	shard->text.size = 0;
	buffer_release(&shard->key);
	buffer_append(&shard->key, m->name.data, m->key_size);
	while (status == STATUS_OK && m->there && m->key_size == shard->key.size &&
	       memcmp(m->name.data, shard->key.data, m->key_size) == 0) {
		if (m->kind == KIND_TEXT) {
			if (*has_text)
				break;
			*has_text = true;
			status = read_member(shard, &shard->text, TEXT_MOST, err);
		} else if (!*has_image) {
			*has_image = true;
			buffer_append(&image_name, m->name.data, m->name.size);
			status = read_member(shard, &shard->image, MEMBER_MOST, err);
		} else if (image_name.size == m->name.size && memcmp(image_name.data, m->name.data, m->name.size) == 0) {
			break;
		} else {
			status = skip(shard, m->size + padding(m->size), err);
		}
		if (status == STATUS_OK)
			status = next_member(shard, err);
	}
	if (status == STATUS_OK && (image_name.failed || shard->key.failed))
		status = err_memory(err, "a member's name");
	buffer_release(&image_name);
	return status;
}

enum status shard_open(const char *path, struct shard **shard, struct err *err)
{
	struct shard *s = mem_array(1, sizeof *s);
	enum status status = STATUS_OK;
	int fd = -1;

	*shard = NULL;
	if (!s || !(s->path = mem_copy(path, strlen(path)))) {
		status = err_memory(err, "a shard");
		goto out;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		status = err_set(err, errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO, "cannot open '%s': %s", path,
				 strerror(errno));
		goto out;
	}
	s->file = gzdopen(fd, "rb");
	if (!s->file) {
		close(fd);
		status = err_memory(err, "a shard");
		goto out;
	}
	gzbuffer(s->file, 1 << 17);
	status = next_member(s, err);
out:
	if (status == STATUS_OK)
		*shard = s;
	else
		shard_close(s);
	return status;
}

enum status shard_next(struct shard *shard, struct sample *sample, struct err *err)
{
	bool has_image, has_text;

	*sample = (struct sample){0};
	while (shard->next.there) {
		enum status status = read_sample(shard, &has_image, &has_text, err);
		if (status == STATUS_OK)
			status = split_captions(shard, err);
		if (status != STATUS_OK) {
			shard->next.there = false; /* nothing can follow what could not be read */
			return status;
		}
		if (has_image && shard->image.size && shard->caption_count) {
			*sample = (struct sample){shard->key.data, (const uint8_t *)shard->image.data, shard->image.size, shard->captions,
						  shard->caption_count};
			return STATUS_OK;
		}
		shard->skipped++;
	}
	return err_set(err, STATUS_NOT_FOUND, "no more samples in '%s'", shard->path);
}

size_t shard_skipped(const struct shard *shard)
{
	return shard->skipped;
}

void shard_close(struct shard *shard)
{
	if (!shard)
		return;
	if (shard->file)
		gzclose(shard->file);
	buffer_release(&shard->next.name);
	buffer_release(&shard->key);
	buffer_release(&shard->image);
	buffer_release(&shard->text);
	free(shard->captions);
	free(shard->path);
	free(shard);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct shard_writer {
	struct file_writer to;
	gzFile file;          /* zlib's "transparent" mode writes the plain ones */
	bool failed;
};

enum status shard_writer_open(const char *path, struct shard_writer **writer, struct err *err)
{
	struct shard_writer *w = mem_array(1, sizeof *w);
	size_t n = strlen(path);
	bool compressed = n > 3 && memcmp(path + n - 3, ".gz", 3) == 0;
	enum status status;

	*writer = NULL;
	if (!w)
		return err_memory(err, "a shard");
	status = file_writer_open(path, &w->to, err);
	if (status != STATUS_OK)
		goto out;
	int fd = fcntl(fileno(w->to.stream), F_DUPFD_CLOEXEC, 0);
	w->file = fd < 0 ? NULL : gzdopen(fd, compressed ? "wb6" : "wbT");
	if (!w->file) {
		if (fd >= 0)
			close(fd);
		file_writer_abort(&w->to);
		status = err_set(err, STATUS_IO, "cannot write '%s': %s", path, strerror(errno));
	}
out:
	if (status == STATUS_OK)
		*writer = w;
	else
		free(w);
	return status;
}

static enum status write_bytes(struct shard_writer *w, const void *bytes, size_t size, struct err *err)
{
	static const char zeros[BLOCK];
	size_t pad = (size_t)padding(size);
	int code;

	if (gzfwrite(bytes, 1, size, w->file) == size && gzfwrite(zeros, 1, pad, w->file) == pad)
		return STATUS_OK;
	w->failed = true;
	const char *why = gzerror(w->file, &code);
	return err_set(err, STATUS_IO, "cannot write '%s': %s", w->to.path, code == Z_ERRNO ? strerror(errno) : why);
}

static enum status write_member(struct shard_writer *w, const char *name, char type, const void *bytes, size_t size, struct err *err)
{
	char block[BLOCK] = {0};
	unsigned sum = 0;
	enum status status;

	memcpy(block + NAME_AT, name, strnlen(name, NAME_SIZE));
	memcpy(block + 100, "0000644\0" "0000000\0" "0000000", 24);
	snprintf(block + SIZE_AT, SIZE_SIZE, "%011llo", (unsigned long long)size & 077777777777);
	if (size >> 33) { /* more than 11 octal digits: base 256 */
		block[SIZE_AT] = (char)0x80;
		for (int i = 1; i < SIZE_SIZE; i++)
			block[SIZE_AT + i] = (char)(i < 4 ? 0 : (uint64_t)size >> 8 * (SIZE_SIZE - 1 - i));
	}
	memcpy(block + 136, "00000000000", 12); /* no time: the same samples make the same file */
	memset(block + SUM_AT, ' ', SUM_SIZE);
	block[TYPE_AT] = type;
	memcpy(block + MAGIC_AT, "ustar\0" "00", 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + SUM_AT, SUM_SIZE - 1, "%06o", sum);
	status = write_bytes(w, block, BLOCK, err);
	if (status == STATUS_OK && size)
		status = write_bytes(w, bytes, size, err);
	return status;
}

/* "LENGTH path=NAME\n", whose length counts its own digits. */
static void pax_path(struct buffer *record, const char *name)
{
	size_t rest = strlen(" path=\n") + strlen(name), length = rest + 1;

	while ((size_t)snprintf(NULL, 0, "%zu", length) + rest != length)
		length++;
	buffer_format(record, "%zu path=%s\n", length, name);
}

enum status shard_writer_add(struct shard_writer *writer, const char *name, const void *bytes, size_t size, struct err *err)
{
	struct buffer pax = {0};
	enum status status = STATUS_OK;

	if (strlen(name) > NAME_SIZE) {
		pax_path(&pax, name);
		status = pax.failed ? err_memory(err, "a member's name") : write_member(writer, "pax", 'x', pax.data, pax.size, err);
	}
	if (status == STATUS_OK)
		status = write_member(writer, name, '0', bytes, size, err);
	else
		writer->failed = true;
	buffer_release(&pax);
	return status;
}

enum status shard_writer_close(struct shard_writer *writer, struct err *err)
{
	static const char end[2 * BLOCK];
	enum status status = STATUS_OK;

	if (writer->failed)
		status = err_set(err, STATUS_IO, "cannot write '%s': an earlier member failed", writer->to.path);
	else
		status = write_bytes(writer, end, sizeof end, err);
	if (gzclose(writer->file) != Z_OK && status == STATUS_OK)
		status = err_set(err, STATUS_IO, "cannot write '%s': %s", writer->to.path, strerror(errno));
	if (status == STATUS_OK)
		status = file_writer_commit(&writer->to, err);
	else
		file_writer_abort(&writer->to);
	free(writer);
	return status;
}
