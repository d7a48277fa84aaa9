/* file.c: see file.h. */
#include "schema/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { LINKS_MOST = 40 /* as the kernel has it */ };

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

char *path_follow(const char *path)
{
	char *at = mem_copy(path, strlen(path)), link[PATH_MAX];
	ssize_t n;

	for (int i = 0; at && i < LINKS_MOST && path_descriptor(at) < 0 && (n = readlink(at, link, sizeof link - 1)) > 0; i++) {
		const char *slash = *link == '/' ? NULL : strrchr(at, '/');
		struct buffer next = {0};
		buffer_append(&next, at, slash ? (size_t)(slash + 1 - at) : 0);
		buffer_append(&next, link, (size_t)n);
		if (next.failed)
			buffer_release(&next);
		free(at);
		at = next.data;
	}
	return at;
}

int path_descriptor(const char *path)
{
	static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		size_t n = strlen(folders[i]), digits = strncmp(path, folders[i], n) == 0 ? strspn(path + n, "0123456789") : 0;
		if (digits && digits < 9 && path[n + digits] == '\0')
			return (int)strtol(path + n, NULL, 10);
	}
	return -1;
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
