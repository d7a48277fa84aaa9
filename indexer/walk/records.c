/* records.c: see records.h. */
#include "indexer/walk/records.h"

#include <stdlib.h>
#include <string.h>

#include "indexer/walk/path.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

static enum status add_record(void *context, const struct catalog_folder *folder, struct err *err)
{
	struct records *r = context;
	char *path = mem_copy(folder->path, strlen(folder->path));

	if (!path || !mem_grow(&r->items, &r->capacity, r->count + 1, sizeof *r->items)) {
		free(path);
		return err_memory(err, "the list of folders");
	}
	struct record *record = &r->items[r->count++];
	*record = (struct record){.path = path, .stamped = folder->stamped, .photos = (size_t)folder->photos};
	memcpy(record->stamp, folder->stamp, sizeof record->stamp);
	return STATUS_OK;
}

static enum status add_whole(void *context, const char *path, struct err *err)
{
	struct buffer *whole = context;

	buffer_append(whole, path, strlen(path) + 1);
	return whole->failed ? err_memory(err, "the list of folders") : STATUS_OK;
}

enum status records_load(struct records *r, struct catalog *catalog, int64_t model, struct targets *targets, bool believe,
			 struct err *err)
{
	enum status status = catalog_walks_each(catalog, model, add_whole, &r->whole, err);

	for (size_t i = 0; i < targets->count; i++)
		r->off |= targets_find(targets, targets->items[i].path) < i;
	for (size_t i = 0; i < targets->count && status == STATUS_OK && !r->off && believe; i++) {
		struct target *target = &targets->items[i];
		if (target->folder)
			status = catalog_walk_whole(catalog, model, target->path, &target->trusted, err);
		if (status == STATUS_OK && target->trusted)
			status = catalog_folders_each(catalog, model, target->path, add_record, r, err);
	}
	return status;
}

void records_release(struct records *r)
{
	while (r->count)
		free(r->items[--r->count].path);
	free(r->items);
	buffer_release(&r->whole);
	*r = (struct records){0};
}

/* --- for the next run --- */

static int compare_record(const void *path, const void *record)
{
	return strcmp(path, ((const struct record *)record)->path);
}

static enum status save_folder(const struct records *r, struct catalog *catalog, int64_t model, const struct walk_folder *folder,
			       struct err *err)
{
	const struct record *record = r->items ? bsearch(folder->path, r->items, r->count, sizeof *record, compare_record) : NULL;
	struct catalog_folder row = {.path = folder->path, .photos = (int64_t)folder->photos};

	if (!folder->photos)
		return record ? catalog_folder_delete(catalog, model, folder->path, err) : STATUS_OK;
	row.stamped = folder->stampable && !folder->unsettled;
	if (record && !record->stamped && !row.stamped)
		return STATUS_OK;
	memcpy(row.stamp, folder->stamp, sizeof row.stamp);
	return catalog_folder_put(catalog, model, &row, err);
}

static enum status save_folders(const struct records *r, struct catalog *catalog, int64_t model, const struct walk *walk,
				const struct buffer *left, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < walk->folder_count && status == STATUS_OK; i++)
		if (!walk->folders[i].same)
			status = save_folder(r, catalog, model, &walk->folders[i], err);
	for (size_t i = 0; i < r->count && status == STATUS_OK; i++)
		if (!walk_folder_find(walk, r->items[i].path))
			status = catalog_folder_delete(catalog, model, r->items[i].path, err);
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

static enum status save(const struct records *r, struct catalog *catalog, int64_t model, const struct walk *walk,
			const struct targets *targets, const struct buffer *left, struct err *err)
{
	bool all = true;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < targets->count && status == STATUS_OK; i++) {
		const struct target *target = &targets->items[i];
		all &= target->folder && !target->away;
		if (!target->trusted && target->folder && !target->away)
			status = catalog_folders_delete(catalog, model, target->path, err);
	}
	if (status == STATUS_OK)
		status = save_folders(r, catalog, model, walk, left, err);
	for (size_t i = 0; i < targets->count && status == STATUS_OK; i++)
		if (targets->items[i].folder && !targets->items[i].away)
			status = make_whole(catalog, model, targets->items[i].path, err);
	/* What this run changed lies in the folders that it has just listed, if it saw them all. */
	for (size_t at = 0; at < r->whole.size && status == STATUS_OK && all; at += strlen(r->whole.data + at) + 1)
		status = make_whole(catalog, model, r->whole.data + at, err);
	return status;
}

enum status records_save(const struct records *r, struct catalog *catalog, int64_t model, const struct walk *walk,
			 const struct targets *targets, const struct buffer *left, struct err *err)
{
	if (r->off)
		return STATUS_OK;
	enum status status = left->failed ? err_memory(err, "the list of folders") : catalog_begin(catalog, err);
	if (status != STATUS_OK)
		return status;
	status = save(r, catalog, model, walk, targets, left, err);
	if (status == STATUS_OK)
		return catalog_commit(catalog, err);
	catalog_rollback(catalog);
	return status;
}
