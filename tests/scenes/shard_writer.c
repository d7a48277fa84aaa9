/* shard_writer.c: see shard_writer.h. */
#include "tests/scenes/shard_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/tar.h"

#include "schema/base/banned.h"

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
	static const char zeros[TAR_BLOCK];
	size_t pad = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
	int code;

	if (gzfwrite(bytes, 1, size, w->file) == size && gzfwrite(zeros, 1, pad, w->file) == pad)
		return STATUS_OK;
	w->failed = true;
	const char *why = gzerror(w->file, &code);
	return err_set(err, STATUS_IO, "cannot write '%s': %s", w->to.path, code == Z_ERRNO ? strerror(errno) : why);
}

static enum status write_member(struct shard_writer *w, const char *name, char type, const void *bytes, size_t size, struct err *err)
{
	char block[TAR_BLOCK] = {0};
	unsigned sum = 0;
	enum status status;

	memcpy(block + TAR_NAME_AT, name, strnlen(name, TAR_NAME_SIZE));
	memcpy(block + 100, "0000644\0" "0000000\0" "0000000", 24);
	snprintf(block + TAR_SIZE_AT, TAR_SIZE_SIZE, "%011llo", (unsigned long long)size & 077777777777);
	if (size >> 33) { /* more than 11 octal digits: base 256 */
		block[TAR_SIZE_AT] = (char)0x80;
		for (int i = 1; i < TAR_SIZE_SIZE; i++)
			block[TAR_SIZE_AT + i] = (char)(i < 4 ? 0 : (uint64_t)size >> 8 * (TAR_SIZE_SIZE - 1 - i));
	}
	memcpy(block + 136, "00000000000", 12); /* no time: the same samples make the same file */
	memset(block + TAR_SUM_AT, ' ', TAR_SUM_SIZE);
	block[TAR_TYPE_AT] = type;
	memcpy(block + TAR_MAGIC_AT, "ustar\0" "00", 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + TAR_SUM_AT, TAR_SUM_SIZE - 1, "%06o", sum);
	status = write_bytes(w, block, TAR_BLOCK, err);
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

	if (strlen(name) > TAR_NAME_SIZE) {
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
	static const char end[2 * TAR_BLOCK];
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
