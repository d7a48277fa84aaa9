/* vanish.c: see vanish.h. First all rows that were not seen are collected, then judged, then changed: a visit of the catalog
 * is no time to change it. */
#include "indexer/walk/vanish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "schema/catalog/contents.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum fate {
	FATE_KEPT,      /* there, or nobody knows: its folder cannot be read */
	FATE_DELETED,
	FATE_MOVED,     /* deleted, but its content was found under another path */
	FATE_LEFT_OUT,  /* there, but this run was told to pass over it */
};

struct inode {
	uint64_t device, number;
};

struct missing {
	int64_t id, content;
	size_t region, folder; /* folder: its place in folders */
	bool gone, failed;
	enum fate fate;
};

struct vanish {
	struct catalog *catalog;
	const struct walk *walk;
	const struct region *regions;
	size_t region_count;
	const struct index_options *options;
	const struct walk_options *rules;
	struct index_report *report;
	struct {
		size_t known, vanished;
		bool held; /* too much vanished at once */
	} *tallies;        /* [region_count] */
	struct missing *missing;
	size_t count, capacity;
	struct inode *inodes; /* of what was listed, ascending; NULL until it is asked for */
	struct catalog_root *roots;
	size_t root_count;
	struct buffer folders; /* of missing photographs, a NUL behind each */
	struct buffer *left;
	bool by_folder;    /* the rows that are being visited are those of a folder, else of a root */
};

/* The first that holds path, the outermost of nested ones; region_count if none does. */
static size_t find_region(const struct vanish *v, const char *path)
{
	size_t i = 0;

	while (i < v->region_count && !walk_below(v->regions[i].path, path))
		i++;
	return i;
}

static bool below_trouble(const struct walk *walk, const char *path)
{
	for (size_t i = 0; i < walk->trouble_count; i++)
		if (walk_below(walk->troubles[i].path, path))
			return true;
	return false;
}

static int compare_inodes(const void *a, const void *b)
{
	const struct inode *x = a, *y = b;
	int order = (x->device > y->device) - (x->device < y->device);

	return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* Whether the file was listed under another name. */
static bool listed(struct vanish *v, const struct stat *st)
{
	const struct walk *walk = v->walk;
	struct inode inode = {st->st_dev, st->st_ino};

	if (!v->inodes) {
		v->inodes = mem_array(walk->count, sizeof *v->inodes);
		if (!v->inodes)
			return false;
		for (size_t i = 0; i < walk->count; i++)
			v->inodes[i] = (struct inode){walk->photos[i].device, walk->photos[i].inode};
		qsort(v->inodes, walk->count, sizeof *v->inodes, compare_inodes);
	}
	return bsearch(&inode, v->inodes, walk->count, sizeof inode, compare_inodes) != NULL;
}

static enum fate judge(struct vanish *v, const struct region *region, const char *path, int64_t root)
{
	struct stat st;
	const char *base = region->path;

	/* A folder inside another that the user once named itself has its own beginning, hidden or not. */
	for (size_t i = 0; i < v->root_count; i++)
		if (v->roots[i].id == root && walk_below(region->path, v->roots[i].path))
			base = v->roots[i].path;

	if (region->away)
		return region->missing ? FATE_DELETED : FATE_KEPT;
	if (below_trouble(v->walk, path))
		return FATE_KEPT;
	if (lstat(path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? FATE_DELETED : FATE_KEPT;
	if (S_ISDIR(st.st_mode))
		return FATE_DELETED;
	if (S_ISLNK(st.st_mode) && !v->options->follow)
		return FATE_LEFT_OUT;
	if (strcmp(base, path) != 0 && walk_leaves_out(base, path, v->rules))
		return FATE_LEFT_OUT;
	/* Where case does not matter, a name that was changed only in case can still be opened by its old spelling. */
	return listed(v, &st) ? FATE_DELETED : FATE_KEPT;
}

/* --- collecting --- */

/* In a folder that is as it was, what is not gone is there. */
static bool seen(const struct walk *walk, const struct photo *photo)
{
	const struct walk_folder *folder = photo->gone_since ? NULL : walk_folder_of(walk, photo->path);

	return (folder && folder->same) || walk_find(walk, photo->path);
}

/* Whether the rows below it are read by folder. */
static bool by_folder(const struct vanish *v, const struct region *region)
{
	return region->trusted && !region->away && !v->options->prune;
}

/* Appends the folder of path; its place. */
static size_t add_folder(struct buffer *folders, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t place = folders->size;

	buffer_append(folders, path, slash > path ? (size_t)(slash - path) : 1);
	buffer_append(folders, "", 1);
	return place;
}

static enum status collect_photo(void *context, const struct photo *photo, struct err *err)
{
	struct vanish *v = context;
	size_t region = find_region(v, photo->path);

	if (region == v->region_count || (!v->by_folder && by_folder(v, &v->regions[region])))
		return STATUS_OK;
	v->tallies[region].known += photo->gone_since == 0;
	if (seen(v->walk, photo))
		return STATUS_OK;
	enum fate fate = judge(v, &v->regions[region], photo->path, photo->root);
	if (fate == FATE_KEPT) {
		v->report->kept += photo->gone_since == 0;
		if (!photo->gone_since)
			add_folder(v->left, photo->path);
		return STATUS_OK;
	}
	if (v->count == v->capacity) {
		size_t capacity = v->capacity ? 2 * v->capacity : 256;
		struct missing *missing = mem_resize(v->missing, capacity, sizeof *missing);
		if (!missing)
			return err_memory(err, "the list of deleted photographs");
		v->missing = missing;
		v->capacity = capacity;
	}
	v->missing[v->count++] = (struct missing){
		.id = photo->id,
		.content = photo->content,
		.region = region,
		.folder = add_folder(&v->folders, photo->path),
		.gone = photo->gone_since != 0,
		.failed = photo->state == PHOTO_FAILED,
		.fate = fate,
	};
	return STATUS_OK;
}

static enum status collect_root(void *context, const struct catalog_root *root, struct err *err)
{
	struct vanish *v = context;
	bool overlaps = false;

	for (size_t i = 0; i < v->region_count; i++)
		overlaps |= walk_below(v->regions[i].path, root->path) || walk_below(root->path, v->regions[i].path);
	if (!overlaps)
		return STATUS_OK;
	struct catalog_root *roots = mem_resize(v->roots, v->root_count + 1, sizeof *roots);
	char *path = mem_copy(root->path, strlen(root->path));
	if (roots)
		v->roots = roots;
	if (!roots || !path) {
		free(path);
		return err_memory(err, "the list of folders");
	}
	v->roots[v->root_count++] = (struct catalog_root){.id = root->id, .path = path};
	return STATUS_OK;
}

/* Of the folders below trusted regions those that are not as they were: changed, or not to be seen. */
static enum status collect_folders(struct vanish *v, struct err *err)
{
	const struct walk *walk = v->walk;
	const struct walk_options *rules = v->rules;
	enum status status = STATUS_OK;

	v->by_folder = true;
	for (size_t i = 0; i < walk->folder_count && status == STATUS_OK; i++) {
		const struct walk_folder *folder = &walk->folders[i];
		size_t region = find_region(v, folder->path);
		if (region == v->region_count || !by_folder(v, &v->regions[region]))
			continue;
		if (folder->same)
			v->tallies[region].known += folder->photos;
		else
			status = catalog_photos_of_folder(v->catalog, folder->path, collect_photo, v, err);
	}
	for (size_t i = 0; i < rules->known_count && status == STATUS_OK; i++) {
		size_t region = find_region(v, rules->known[i].path);
		if (region < v->region_count && by_folder(v, &v->regions[region]) && !walk_folder_find(walk, rules->known[i].path))
			status = catalog_photos_of_folder(v->catalog, rules->known[i].path, collect_photo, v, err);
	}
	v->by_folder = false;
	return status;
}

static enum status collect(struct vanish *v, struct err *err)
{
	bool all = true;
	enum status status = catalog_roots_each(v->catalog, collect_root, v, err);

	for (size_t i = 0; i < v->region_count; i++)
		all &= by_folder(v, &v->regions[i]);
	if (status == STATUS_OK)
		status = collect_folders(v, err);
	for (size_t i = 0; i < v->root_count && status == STATUS_OK && !all; i++)
		status = catalog_photos_of_root(v->catalog, v->roots[i].id, collect_photo, v, err);
	return status;
}

/* --- judging --- */

static enum status find_elsewhere(void *context, const struct photo *photo, struct err *err)
{
	(void)err;
	return seen(context, photo) ? STATUS_INTERRUPTED : STATUS_OK;
}

/* Deleted here, but seen elsewhere by this run: moved. */
static enum status judge_moved(struct vanish *v, struct missing *missing, struct err *err)
{
	if (missing->fate != FATE_DELETED || !missing->content || v->regions[missing->region].away)
		return STATUS_OK;
	enum status status = catalog_photos_of_content(v->catalog, missing->content, false, find_elsewhere, (void *)v->walk, err);
	if (status == STATUS_INTERRUPTED) {
		missing->fate = FATE_MOVED;
		status = STATUS_OK;
	}
	return status;
}

static void judge_region(struct vanish *v, size_t i)
{
	const struct region *region = &v->regions[i];
	size_t known = v->tallies[i].known, vanished = v->tallies[i].vanished;

	if (region->away && !region->missing && known)
		index_report_warning(v->report, "%s; its %zu photographs are kept", region->reason, known);
	if (v->options->prune)
		return;
	v->tallies[i].held = region->away || (vanished > VANISH_FEW && 5 * vanished > known);
	if (!v->tallies[i].held || !vanished)
		return;
	v->report->kept += vanished;
	if (region->away)
		index_report_warning(v->report, "%s; its %zu photographs are kept; hint: --prune drops them", region->reason, vanished);
	else
		index_report_warning(v->report,
				     "'%s' has lost %zu of %zu photographs at once; they are kept, as if a drive were away; "
				     "hint: if they were deleted, --prune drops them",
				     region->path, vanished, known);
}

/* --- changing --- */

static enum status change(struct vanish *v, const struct missing *missing, int64_t now, struct err *err)
{
	if (v->tallies[missing->region].held && missing->fate == FATE_DELETED) {
		if (!missing->gone)
			buffer_append(v->left, v->folders.data + missing->folder, strlen(v->folders.data + missing->folder) + 1);
		return STATUS_OK;
	}
	if (missing->gone && !v->options->prune)
		return STATUS_OK;
	v->report->gone += !missing->gone && missing->fate != FATE_MOVED;
	/* There is nothing about a failed one to be kept for its return. */
	if (v->options->prune || missing->failed) {
		v->report->dropped += v->options->prune;
		return catalog_photo_delete(v->catalog, missing->id, err);
	}
	return catalog_photo_gone(v->catalog, missing->id, now, err);
}

static enum status change_all(struct vanish *v, struct err *err)
{
	/* 0 would mean that they are there; a clock without a battery begins at 0. */
	int64_t now = time(NULL) > 0 ? time(NULL) : 1;
	size_t contents;
	enum status status = catalog_begin(v->catalog, err);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < v->count && status == STATUS_OK; i++)
		status = change(v, &v->missing[i], now, err);
	/* Of photographs that other folders lost, what is kept stays kept. */
	if (status == STATUS_OK && v->options->prune)
		status = catalog_purge(v->catalog, &contents, err);
	if (status == STATUS_OK)
		return catalog_commit(v->catalog, err);
	catalog_rollback(v->catalog);
	return status;
}

enum status vanish_run(struct catalog *catalog, const struct walk *walk, const struct region *regions, size_t count,
		       const struct index_options *options, const struct walk_options *rules, struct index_report *report, struct buffer *left,
		       struct err *err)
{
	struct vanish v = {
		.catalog = catalog,
		.walk = walk,
		.regions = regions,
		.region_count = count,
		.options = options,
		.rules = rules,
		.report = report,
		.left = left,
		.tallies = mem_array(count, sizeof *v.tallies),
	};
	enum status status = v.tallies ? collect(&v, err) : err_memory(err, "the list of folders");

	if (status == STATUS_OK && v.folders.failed)
		status = err_memory(err, "the list of folders");
	for (size_t i = 0; i < v.count && status == STATUS_OK; i++) {
		status = judge_moved(&v, &v.missing[i], err);
		v.tallies[v.missing[i].region].vanished += v.missing[i].fate == FATE_DELETED && !v.missing[i].gone;
	}
	if (status == STATUS_OK) {
		for (size_t i = 0; i < count; i++) {
			judge_region(&v, i);
			if (regions[i].away && !v.tallies[i].known) {
				index_report_warning(report, "%s", regions[i].reason);
				report->unknown_folder = true;
			}
		}
		if (v.count || options->prune)
			status = change_all(&v, err);
	}
	for (size_t i = 0; i < v.root_count; i++)
		free((char *)v.roots[i].path);
	free(v.roots);
	buffer_release(&v.folders);
	free(v.missing);
	free(v.inodes);
	free(v.tallies);
	return status;
}
