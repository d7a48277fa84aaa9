/* vanish.c: see vanish.h. First all rows that were not seen are collected, then judged, then changed: a visit of the catalog
 * is no time to change it. */
#include "indexer/walk/vanish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "indexer/walk/notes.h"
#include "indexer/walk/path.h"
#include "schema/base/memory.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"

#include "schema/base/banned.h"

enum fate {
	FATE_KEPT,      /* there, or nobody knows: its folder cannot be read */
	FATE_DELETED,
	FATE_MOVED,     /* deleted, but its content came to another path */
	FATE_LEFT_OUT,  /* there, but this run was told to pass over it */
};

struct inode {
	uint64_t device, number;
};

struct missing {
	int64_t id, content;
	size_t target, folder; /* their places in targets and in folders */
	bool gone, failed;
	enum fate fate;
};

struct judging {
	const struct vanish *in;
	const struct walk *walk;
	const struct targets *targets;
	struct vanish_result *result;
	struct {
		size_t known, vanished;
		bool held; /* too much vanished at once */
	} *tallies;        /* [targets->count] */
	struct missing *missing;
	size_t count, capacity;
	struct inode *inodes; /* of what was listed, ascending; NULL until it is asked for */
	struct catalog_root *roots;
	size_t root_count;
	struct buffer folders; /* of missing photographs, a NUL behind each */
	bool by_folder;    /* the rows that are being visited are those of a folder, else of a root */
};

static bool below_trouble(const struct walk *walk, const char *path)
{
	for (size_t i = 0; i < walk->trouble_count; i++)
		if (path_below(walk->troubles[i].path, path))
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
static bool listed(struct judging *v, const struct stat *st)
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

static enum fate judge(struct judging *v, const struct target *target, const char *path, int64_t root)
{
	struct stat st;
	const char *base = target->path;

	/* A folder inside another that the user once named itself has its own beginning, hidden or not. */
	for (size_t i = 0; i < v->root_count; i++)
		if (v->roots[i].id == root && path_below(target->path, v->roots[i].path))
			base = v->roots[i].path;

	if (target->away)
		return target->missing ? FATE_DELETED : FATE_KEPT;
	if (below_trouble(v->walk, path))
		return FATE_KEPT;
	if (lstat(path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? FATE_DELETED : FATE_KEPT;
	if (S_ISDIR(st.st_mode))
		return FATE_DELETED;
	if (S_ISLNK(st.st_mode) && !v->in->rules->follow)
		return FATE_LEFT_OUT;
	if (strcmp(base, path) != 0 && rules_pass_over(v->in->rules, base, path))
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
static bool by_folder(const struct judging *v, const struct target *target)
{
	return target->trusted && !target->away && !v->in->prune;
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
	struct judging *v = context;
	size_t target = targets_find(v->targets, photo->path);

	if (target == v->targets->count || (!v->by_folder && by_folder(v, &v->targets->items[target])))
		return STATUS_OK;
	v->tallies[target].known += photo->gone_since == 0;
	if (seen(v->walk, photo))
		return STATUS_OK;
	enum fate fate = judge(v, &v->targets->items[target], photo->path, photo->root);
	if (fate == FATE_KEPT) {
		v->result->kept += photo->gone_since == 0;
		if (!photo->gone_since)
			add_folder(&v->result->left, photo->path);
		return STATUS_OK;
	}
	if (!mem_grow(&v->missing, &v->capacity, v->count + 1, sizeof *v->missing))
		return err_memory(err, "the list of deleted photographs");
	v->missing[v->count++] = (struct missing){
		.id = photo->id,
		.content = photo->content,
		.target = target,
		.folder = add_folder(&v->folders, photo->path),
		.gone = photo->gone_since != 0,
		.failed = photo->state == PHOTO_FAILED,
		.fate = fate,
	};
	return STATUS_OK;
}

static enum status collect_root(void *context, const struct catalog_root *root, struct err *err)
{
	struct judging *v = context;
	bool overlaps = false;

	for (size_t i = 0; i < v->targets->count; i++)
		overlaps |= path_below(v->targets->items[i].path, root->path) || path_below(root->path, v->targets->items[i].path);
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

/* Of the folders below trusted targets those that are not as they were: changed, or not to be seen. */
static enum status collect_folders(struct judging *v, struct err *err)
{
	const struct walk *walk = v->walk;
	const struct records *records = v->in->records;
	enum status status = STATUS_OK;

	v->by_folder = true;
	for (size_t i = 0; i < walk->folder_count && status == STATUS_OK; i++) {
		const struct walk_folder *folder = &walk->folders[i];
		size_t target = targets_find(v->targets, folder->path);
		if (target == v->targets->count || !by_folder(v, &v->targets->items[target]))
			continue;
		if (folder->same)
			v->tallies[target].known += folder->photos;
		else
			status = catalog_photos_of_folder(v->in->catalog, folder->path, collect_photo, v, err);
	}
	for (size_t i = 0; i < records->count && status == STATUS_OK; i++) {
		const char *path = records->items[i].path;
		size_t target = targets_find(v->targets, path);
		if (target < v->targets->count && by_folder(v, &v->targets->items[target]) && !walk_folder_find(walk, path))
			status = catalog_photos_of_folder(v->in->catalog, path, collect_photo, v, err);
	}
	v->by_folder = false;
	return status;
}

static enum status collect(struct judging *v, struct err *err)
{
	bool all = true;
	enum status status = catalog_roots_each(v->in->catalog, collect_root, v, err);

	for (size_t i = 0; i < v->targets->count; i++)
		all &= by_folder(v, &v->targets->items[i]);
	if (status == STATUS_OK)
		status = collect_folders(v, err);
	for (size_t i = 0; i < v->root_count && status == STATUS_OK && !all; i++)
		status = catalog_photos_of_root(v->in->catalog, v->roots[i].id, collect_photo, v, err);
	return status;
}

/* --- judging --- */

static int compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static int compare_contents(const void *a, const void *b)
{
	const struct missing *x = a, *y = b;
	int order = (x->content > y->content) - (x->content < y->content);

	return order ? order : (x->id > y->id) - (x->id < y->id);
}

/* A row that came with this run, or came back. */
static enum status find_elsewhere(void *context, const struct photo *photo, struct err *err)
{
	const struct vanish *in = context;
	bool came = photo->id > in->newest ||
		    (in->were_gone_count && bsearch(&photo->id, in->were_gone, in->were_gone_count, sizeof *in->were_gone, compare_ids));

	(void)err;
	return came && seen(in->walk, photo) ? STATUS_INTERRUPTED : STATUS_OK;
}

/* Those that came elsewhere by this run: moved. Rows of a content, which stand together, are asked for once. */
static enum status judge_moved(struct judging *v, struct err *err)
{
	enum status status = STATUS_OK;
	int64_t asked = 0;
	bool moved = false;

	if (v->count)
		qsort(v->missing, v->count, sizeof *v->missing, compare_contents);
	for (size_t i = 0; i < v->count && status == STATUS_OK; i++) {
		struct missing *missing = &v->missing[i];
		if (missing->fate != FATE_DELETED || !missing->content || v->targets->items[missing->target].away)
			continue;
		if (asked != missing->content) {
			status = catalog_photos_of_content(v->in->catalog, missing->content, false, find_elsewhere, (void *)v->in, err);
			moved = status == STATUS_INTERRUPTED;
			status = moved ? STATUS_OK : status;
			asked = missing->content;
		}
		missing->fate = moved ? FATE_MOVED : FATE_DELETED;
	}
	return status;
}

static void judge_target(struct judging *v, size_t i)
{
	const struct target *target = &v->targets->items[i];
	struct buffer *warnings = &v->result->warnings;
	size_t known = v->tallies[i].known, vanished = v->tallies[i].vanished;

	if (target->away && !target->missing && known)
		notes_add(warnings, "%s; its %zu photographs are kept", target->reason, known);
	if (v->in->prune)
		return;
	v->tallies[i].held = target->away || (vanished > VANISH_FEW && 5 * vanished > known);
	if (!v->tallies[i].held || !vanished)
		return;
	v->result->kept += vanished;
	if (target->away)
		notes_add(warnings, "%s; its %zu photographs are kept; hint: --prune drops them", target->reason, vanished);
	else
		notes_add(warnings,
			  "'%s' has lost %zu of %zu photographs at once; they are kept, as if a drive were away; "
			  "hint: if they were deleted, --prune drops them",
			  target->path, vanished, known);
}

static enum status judge_all(struct judging *v, struct err *err)
{
	enum status status = judge_moved(v, err);

	for (size_t i = 0; i < v->count && status == STATUS_OK; i++)
		v->tallies[v->missing[i].target].vanished += v->missing[i].fate == FATE_DELETED && !v->missing[i].gone;
	for (size_t i = 0; i < v->targets->count && status == STATUS_OK; i++) {
		judge_target(v, i);
		if (v->targets->items[i].away && !v->tallies[i].known) {
			notes_add(&v->result->warnings, "%s", v->targets->items[i].reason);
			v->result->unknown_target = true;
		}
	}
	return status;
}

/* --- changing --- */

static enum status change(struct judging *v, const struct missing *missing, int64_t now, struct err *err)
{
	if (v->tallies[missing->target].held && missing->fate == FATE_DELETED) {
		if (!missing->gone)
			buffer_append(&v->result->left, v->folders.data + missing->folder, strlen(v->folders.data + missing->folder) + 1);
		return STATUS_OK;
	}
	if (missing->gone && !v->in->prune)
		return STATUS_OK;
	v->result->gone += !missing->gone && missing->fate != FATE_MOVED;
	/* There is nothing about a failed one to be kept for its return. */
	if (v->in->prune || missing->failed) {
		v->result->dropped += v->in->prune;
		return catalog_photo_delete(v->in->catalog, missing->id, err);
	}
	return catalog_photo_gone(v->in->catalog, missing->id, now, err);
}

static enum status change_all(struct judging *v, struct err *err)
{
	/* 0 would mean that they are there; a clock without a battery begins at 0. */
	int64_t now = time(NULL) > 0 ? time(NULL) : 1;
	size_t contents;
	enum status status = catalog_begin(v->in->catalog, err);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < v->count && status == STATUS_OK; i++)
		status = change(v, &v->missing[i], now, err);
	/* Of photographs that other folders lost, what is kept stays kept. */
	if (status == STATUS_OK && v->in->prune)
		status = catalog_purge(v->in->catalog, &contents, err);
	if (status == STATUS_OK)
		return catalog_commit(v->in->catalog, err);
	catalog_rollback(v->in->catalog);
	return status;
}

enum status vanish_run(const struct vanish *vanish, struct vanish_result *result, struct err *err)
{
	struct judging v = {
		.in = vanish,
		.walk = vanish->walk,
		.targets = vanish->targets,
		.result = result,
		.tallies = mem_array(vanish->targets->count, sizeof *v.tallies),
	};
	enum status status = v.tallies ? collect(&v, err) : err_memory(err, "the list of folders");

	if (status == STATUS_OK && v.folders.failed)
		status = err_memory(err, "the list of folders");
	if (status == STATUS_OK)
		status = judge_all(&v, err);
	if (status == STATUS_OK && (v.count || vanish->prune))
		status = change_all(&v, err);
	for (size_t i = 0; i < v.root_count; i++)
		free((char *)v.roots[i].path);
	free(v.roots);
	buffer_release(&v.folders);
	free(v.missing);
	free(v.inodes);
	free(v.tallies);
	return status;
}

void vanish_release(struct vanish_result *result)
{
	buffer_release(&result->warnings);
	buffer_release(&result->left);
}
