/* folders.c: see folders.h. */
#include "indexer/walk/records.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

static enum status add_known(void *context, const struct catalog_folder *folder, struct err *err)
{
	struct folders *f = context;

	if (f->count == f->capacity) {
		size_t capacity = f->capacity ? 2 * f->capacity : 256;
		struct walk_known *known = mem_resize(f->known, capacity, sizeof *known);
		if (!known)
			return err_memory(err, "the list of folders");
		f->known = known;
		f->capacity = capacity;
	}
	struct walk_known *known = &f->known[f->count];
	*known = (struct walk_known){
		.path = mem_copy(folder->path, strlen(folder->path)),
		.stamped = folder->stamped,
		.photos = (size_t)folder->photos,
	};
	if (!known->path)
		return err_memory(err, "the list of folders");
	memcpy(known->stamp, folder->stamp, sizeof known->stamp);
	f->count++;
	return STATUS_OK;
}

static enum status add_walk(void *context, const char *path, struct err *err)
{
	struct buffer *walks = context;

	buffer_append(walks, path, strlen(path) + 1);
	return walks->failed ? err_memory(err, "the list of folders") : STATUS_OK;
}

enum status folders_load(struct folders *f, struct catalog *catalog, int64_t model, struct region *regions, size_t count,
			 const struct index_options *options, struct err *err)
{
	struct stat st;
	enum status status = catalog_walks_each(catalog, model, add_walk, &f->walks, err);

	for (size_t i = 0; i < count; i++) {
		regions[i].folder = stat(regions[i].path, &st) == 0 && S_ISDIR(st.st_mode);
		for (size_t j = 0; j < i; j++)
			f->off |= walk_below(regions[j].path, regions[i].path);
	}
	/* What failed before is listed only where it is tried again. */
	for (size_t i = 0; i < count && status == STATUS_OK && !f->off && !options->retry; i++) {
		if (regions[i].folder)
			status = catalog_walk_whole(catalog, model, regions[i].path, &regions[i].trusted, err);
		if (status == STATUS_OK && regions[i].trusted)
			status = catalog_folders_each(catalog, model, regions[i].path, add_known, f, err);
	}
	return status;
}

void folders_release(struct folders *f)
{
	while (f->count)
		free(f->known[--f->count].path);
	free(f->known);
	buffer_release(&f->walks);
	*f = (struct folders){0};
}

/* --- for the next run --- */

static int compare_known(const void *path, const void *known)
{
	return strcmp(path, ((const struct walk_known *)known)->path);
}

static enum status save_folder(const struct folders *f, struct catalog *catalog, int64_t model, const struct walk_folder *folder,
			       struct err *err)
{
	const struct walk_known *known = f->known ? bsearch(folder->path, f->known, f->count, sizeof *known, compare_known) : NULL;
	struct catalog_folder row = {.path = folder->path, .photos = (int64_t)folder->photos};

	if (!folder->photos)
		return known ? catalog_folder_delete(catalog, model, folder->path, err) : STATUS_OK;
	row.stamped = folder->stampable && !folder->unsettled;
	if (known && !known->stamped && !row.stamped)
		return STATUS_OK;
	memcpy(row.stamp, folder->stamp, sizeof row.stamp);
	return catalog_folder_put(catalog, model, &row, err);
}

static enum status save_folders(const struct folders *f, struct catalog *catalog, int64_t model, const struct walk *walk,
				const struct buffer *left, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < walk->folder_count && status == STATUS_OK; i++)
		if (!walk->folders[i].same)
			status = save_folder(f, catalog, model, &walk->folders[i], err);
	for (size_t i = 0; i < f->count && status == STATUS_OK; i++)
		if (!walk_folder_find(walk, f->known[i].path))
			status = catalog_folder_delete(catalog, model, f->known[i].path, err);
	for (size_t at = 0; at < left->size && status == STATUS_OK; at += strlen(left->data + at) + 1) {
		const struct catalog_folder row = {.path = left->data + at};
		status = catalog_folder_put(catalog, model, &row, err);
	}
	return status;
}

static enum status make_whole(struct catalog *catalog, int64_t model, const char *path, struct err *err)
{
	bool whole;
	enum status status = catalog_walk_whole(catalog, model, path, &whole, err);

	return status == STATUS_OK && !whole ? catalog_walk_put(catalog, model, path, err) : status;
}

static enum status save(const struct folders *f, struct catalog *catalog, int64_t model, const struct walk *walk,
			const struct region *regions, size_t count, const struct buffer *left, struct err *err)
{
	bool all = true;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		all &= regions[i].folder && !regions[i].away;
		if (!regions[i].trusted && regions[i].folder && !regions[i].away)
			status = catalog_folders_delete(catalog, model, regions[i].path, err);
	}
	if (status == STATUS_OK)
		status = save_folders(f, catalog, model, walk, left, err);
	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		if (regions[i].folder && !regions[i].away)
			status = make_whole(catalog, model, regions[i].path, err);
	/* What this run changed lies in the folders that it has just listed, if it saw them all. */
	for (size_t at = 0; at < f->walks.size && status == STATUS_OK && all; at += strlen(f->walks.data + at) + 1)
		status = make_whole(catalog, model, f->walks.data + at, err);
	return status;
}

enum status folders_save(const struct folders *f, struct catalog *catalog, int64_t model, const struct walk *walk,
			 const struct region *regions, size_t count, const struct buffer *left, struct err *err)
{
	if (f->off)
		return STATUS_OK;
	enum status status = left->failed ? err_memory(err, "the list of folders") : catalog_begin(catalog, err);
	if (status != STATUS_OK)
		return status;
	status = save(f, catalog, model, walk, regions, count, left, err);
	if (status == STATUS_OK)
		return catalog_commit(catalog, err);
	catalog_rollback(catalog);
	return status;
}
