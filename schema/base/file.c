/* file.c: see file.h. */
#include "schema/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Opens a regular file for reading without ever blocking on a FIFO or a device. */
static enum status open_regular(const char *path, int *fd, size_t *size, struct err *err)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return err_set(err, errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO,
			       "cannot open '%s': %s", path, strerror(errno));
	if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(*fd);
		*fd = -1;
		return err_set(err, STATUS_IO, "cannot open '%s': not a regular file", path);
	}
	*size = (size_t)st.st_size;
	return STATUS_OK;
}

enum status file_map_open(const char *path, struct file_map *map, struct err *err)
{
	int fd;
	size_t size;

	*map = (struct file_map){0};
	enum status status = open_regular(path, &fd, &size, err);
	if (status != STATUS_OK)
		return status;
	if (size) {
		void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (data == MAP_FAILED)
			status = err_set(err, STATUS_IO, "cannot map '%s': %s", path, strerror(errno));
		else
			*map = (struct file_map){data, size};
	}
	close(fd);
	return status;
}

void file_map_close(struct file_map *map)
{
	if (map->data)
		munmap((void *)map->data, map->size);
	*map = (struct file_map){0};
}

enum status file_read(const char *path, size_t limit, uint8_t **bytes, size_t *size, struct err *err)
{
	int fd;
	size_t expected, got = 0;

	*bytes = NULL;
	*size = 0;
	enum status status = open_regular(path, &fd, &expected, err);
	if (status != STATUS_OK)
		return status;
	if (expected > limit) {
		close(fd);
		return err_set(err, STATUS_MEMORY, "cannot read '%s': it has %zu bytes, the limit is %zu", path, expected, limit);
	}
	uint8_t *data = malloc(expected + 1);
	if (!data) {
		close(fd);
		return err_memory(err, path);
	}
	while (got < expected) {
		ssize_t n = read(fd, data + got, expected - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			status = err_set(err, STATUS_IO, "cannot read '%s': %s", path, strerror(errno));
		if (n <= 0)
			break; /* a file that shrank while it was read ends where it ends */
		got += (size_t)n;
	}
	close(fd);
	if (status != STATUS_OK) {
		free(data);
		return status;
	}
	data[got] = '\0';
	*bytes = data;
	*size = got;
	return STATUS_OK;
}

enum status file_read_text(const char *path, size_t limit, char **text, size_t *size, struct err *err)
{
	uint8_t *bytes;
	enum status status = file_read(path, limit, &bytes, size, err);

	if (status == STATUS_OK && memchr(bytes, '\0', *size)) {
		free(bytes);
		bytes = NULL;
		*size = 0;
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': it holds a NUL byte", path);
	}
	*text = (char *)bytes;
	return status;
}

static void writer_release(struct file_writer *w)
{
	if (w->stream)
		fclose(w->stream);
	free(w->path);
	free(w->temporary);
	*w = (struct file_writer){0};
}

enum status file_writer_open(const char *path, struct file_writer *w, struct err *err)
{
	struct buffer name = {0};

	*w = (struct file_writer){0};
	buffer_format(&name, "%s.tmp.%ld", path, (long)getpid());
	w->temporary = name.data;
	w->path = mem_copy(path, strlen(path));
	if (name.failed || !w->path) {
		writer_release(w);
		return err_memory(err, "a file name");
	}
	w->stream = fopen(w->temporary, "wbe");
	if (!w->stream) {
		enum status status = err_set(err, STATUS_IO, "cannot create '%s': %s", w->temporary, strerror(errno));
		writer_release(w);
		return status;
	}
	return STATUS_OK;
}

/* Makes a rename survive a power cut. A file system that cannot sync folders is not an error. */
static void sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash ? mem_copy(".", 1) : mem_copy(path, slash == path ? 1 : (size_t)(slash - path));
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

enum status file_writer_commit(struct file_writer *w, struct err *err)
{
	FILE *stream = w->stream;

	w->stream = NULL;
	bool ok = fflush(stream) == 0 && !ferror(stream) && fsync(fileno(stream)) == 0;
	int reason = errno;
	if (fclose(stream) != 0 && ok) {
		ok = false;
		reason = errno;
	}
	if (ok && rename(w->temporary, w->path) != 0) {
		ok = false;
		reason = errno;
	}
	enum status status = STATUS_OK;
	if (ok) {
		sync_folder_of(w->path);
	} else {
		status = err_set(err, STATUS_IO, "cannot write '%s': %s", w->path, strerror(reason));
		unlink(w->temporary);
	}
	writer_release(w);
	return status;
}

void file_writer_abort(struct file_writer *w)
{
	if (w->temporary)
		unlink(w->temporary);
	writer_release(w);
}

enum status file_copy(const char *from, const char *to, struct err *err)
{
	uint8_t *bytes = NULL;
	size_t size;
	struct file_writer writer;
	enum status status = file_read(from, (size_t)1 << 30, &bytes, &size, err);

	if (status == STATUS_OK)
		status = file_writer_open(to, &writer, err);
	if (status == STATUS_OK) {
		fwrite(bytes, 1, size, writer.stream); /* commit sees whether it failed */
		status = file_writer_commit(&writer, err);
	}
	free(bytes);
	return status;
}

char *path_join(const char *folder, const char *name)
{
	struct buffer b = {0};
	size_t n = strlen(folder);

	buffer_append(&b, folder, n);
	if (n && folder[n - 1] != '/')
		buffer_text(&b, "/");
	buffer_text(&b, name);
	if (b.failed)
		buffer_release(&b);
	return b.data;
}

enum status path_make_folder(const char *path, struct err *err)
{
	char *copy = mem_copy(path, strlen(path));
	enum status status = STATUS_OK;

	if (!copy)
		return err_memory(err, "a path");
	for (char *p = copy + 1; status == STATUS_OK; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char end = *p;
		*p = '\0';
		struct stat st;
		if (mkdir(copy, 0777) != 0 && (errno != EEXIST || stat(copy, &st) != 0 || !S_ISDIR(st.st_mode)))
			status = err_set(err, STATUS_IO, "cannot make the folder '%s': %s", copy, strerror(errno));
		*p = end;
		if (end == '\0')
			break;
	}
	free(copy);
	return status;
}
