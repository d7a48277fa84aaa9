/* targets.c: see targets.h. */
#include "indexer/walk/targets.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "indexer/walk/path.h"
#include "schema/base/memory.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"

#include "schema/base/banned.h"

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct target *)a)->path, ((const struct target *)b)->path);
}

enum status targets_open(struct targets *targets, const char *const *names, size_t count, struct err *err)
{
	struct target *items = targets->items = mem_array(count, sizeof *items);
	struct stat st;
	size_t kept = 0;

	if (!items)
		return err_memory(err, "the list of folders");
	for (size_t i = 0; i < count; i++) {
		items[i].path = path_resolve(names[i]);
		if (!items[i].path)
			return err_memory(err, "the list of folders");
		items[i].folder = stat(items[i].path, &st) == 0 && S_ISDIR(st.st_mode);
		targets->count++;
	}
	qsort(items, count, sizeof *items, compare);
	for (size_t i = 0; i < count; i++) {
		if (kept && compare(&items[i], &items[kept - 1]) == 0)
			free(items[i].path);
		else
			items[kept++] = items[i];
	}
	targets->count = kept;
	return STATUS_OK;
}

void targets_release(struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		free(targets->items[i].path);
		free(targets->items[i].reason);
	}
	free(targets->items);
	*targets = (struct targets){0};
}

size_t targets_find(const struct targets *targets, const char *path)
{
	size_t i = 0;

	while (i < targets->count && !path_below(targets->items[i].path, path))
		i++;
	return i;
}

/* --- walking --- */

struct root_search {
	const struct rules *rules;
	const char *path;
	int64_t id;
	size_t size; /* of its path: the deepest one counts */
};

static enum status find_root(void *context, const struct catalog_root *root, struct err *err)
{
	struct root_search *search = context;
	size_t size = strlen(root->path);

	(void)err;
	if (!path_below(root->path, search->path) || (search->id && size < search->size))
		return STATUS_OK;
	/* A folder that its root's walk passes over, a hidden one, is a root of its own. */
	if (strcmp(root->path, search->path) != 0 && rules_pass_over(search->rules, root->path, search->path))
		return STATUS_OK;
	search->id = root->id;
	search->size = size;
	return STATUS_OK;
}

/* A folder inside a known root belongs to that root. */
static enum status put_root(struct target *target, struct catalog *catalog, const struct rules *rules, struct err *err)
{
	struct root_search search = {.rules = rules, .path = target->path};
	enum status status = catalog_roots_each(catalog, find_root, &search, err);

	if (status != STATUS_OK)
		return status;
	target->root = search.id;
	return search.id ? STATUS_OK : catalog_root_put(catalog, target->path, &target->root, err);
}

enum status targets_walk(struct targets *targets, struct catalog *catalog, const struct walk_options *options, struct walk *walk,
			 struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < targets->count && status == STATUS_OK; i++) {
		struct target *target = &targets->items[i];
		struct err trouble;
		status = walk_root(walk, target->path, i, options, &trouble);
		if (status == STATUS_NOT_FOUND || status == STATUS_IO) {
			target->away = true;
			target->missing = status == STATUS_NOT_FOUND;
			target->reason = mem_copy(trouble.text, strlen(trouble.text));
			status = target->reason ? STATUS_OK : err_memory(err, "the list of folders");
		} else if (status != STATUS_OK) {
			*err = trouble;
		} else {
			status = put_root(target, catalog, &options->rules, err);
		}
	}
	walk_finish(walk);
	return status;
}
