/* found.c: what a walk found, in order, and looked up by path: see walk.h. */
#include "indexer/walk/walk.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/banned.h"

static int compare_folders(const void *a, const void *b)
{
	return strcmp(((const struct walk_folder *)a)->path, ((const struct walk_folder *)b)->path);
}

static int compare_photos(const void *a, const void *b)
{
	const struct walk_photo *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order ? order : (x->root > y->root) - (x->root < y->root);
}

void walk_finish(struct walk *walk)
{
	size_t kept = 0;

	sidecars_sort(&walk->sidecars);
	if (walk->folder_count)
		qsort(walk->folders, walk->folder_count, sizeof *walk->folders, compare_folders);
	if (!walk->count)
		return;
	qsort(walk->photos, walk->count, sizeof *walk->photos, compare_photos);
	for (size_t i = 0; i < walk->count; i++) {
		if (kept && strcmp(walk->photos[i].path, walk->photos[kept - 1].path) == 0)
			free(walk->photos[i].path);
		else
			walk->photos[kept++] = walk->photos[i];
	}
	walk->count = kept;
}

void walk_release(struct walk *walk)
{
	for (size_t i = 0; i < walk->count; i++)
		free(walk->photos[i].path);
	for (size_t i = 0; i < walk->trouble_count; i++) {
		free(walk->troubles[i].path);
		free(walk->troubles[i].reason);
	}
	for (size_t i = 0; i < walk->folder_count; i++)
		free(walk->folders[i].path);
	free(walk->folders);
	free(walk->photos);
	free(walk->troubles);
	sidecars_release(&walk->sidecars);
	*walk = (struct walk){0};
}

const struct walk_photo *walk_find(const struct walk *walk, const char *path)
{
	size_t low = 0, high = walk->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(path, walk->photos[middle].path);
		if (order == 0)
			return &walk->photos[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct piece {
	const char *path;
	size_t size;
};

static int compare_piece(const void *a, const void *b)
{
	const struct piece *piece = a;
	const char *path = ((const struct walk_folder *)b)->path;
	int order = strncmp(piece->path, path, piece->size);

	return order ? order : -(path[piece->size] != '\0');
}

struct walk_folder *walk_folder_find(const struct walk *walk, const char *path)
{
	struct piece piece = {path, strlen(path)};
	return walk->folders ? bsearch(&piece, walk->folders, walk->folder_count, sizeof *walk->folders, compare_piece) : NULL;
}

struct walk_folder *walk_folder_of(const struct walk *walk, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct piece piece = {path, slash > path ? (size_t)(slash - path) : 1};
	return walk->folders ? bsearch(&piece, walk->folders, walk->folder_count, sizeof *walk->folders, compare_piece) : NULL;
}
