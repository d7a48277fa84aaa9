/* path.c: see path.h. */
#include "indexer/walk/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

bool path_below(const char *folder, const char *path)
{
	size_t n = strlen(folder);

	if (n && folder[n - 1] == '/')
		n--;
	return strncmp(folder, path, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

char *path_resolve(const char *path)
{
	char *head = *path == '/' ? mem_copy(path, strlen(path)) : path_join(".", path), *real = NULL, *whole = NULL;
	size_t size = head ? strlen(head) : 0;

	/* What exists is resolved; the rest is appended as it stands. */
	while (head && !(real = realpath(head, NULL)) && errno != ENOMEM) {
		char *slash = strrchr(head, '/');
		if (!slash)
			break;
		*slash = '\0';
		if (slash == head) {
			real = mem_copy("/", 1);
			break;
		}
	}
	if (real) {
		size_t n = strlen(head);
		for (size_t i = n; i < size; i++)
			if (!head[i])
				head[i] = '/';
		while (size > n + 1 && head[size - 1] == '/')
			head[--size] = '\0';
		whole = n < size ? path_join(real, head + n + 1) : real;
	}
	if (whole != real)
		free(real);
	free(head);
	return whole;
}

int64_t file_mtime(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int64_t file_ctime(const struct stat *st)
{
	return (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}
