/* walk.h: which files of a folder are candidates: the first step of indexing. Opens folders, never a file.
 *
 *     struct walk walk = {0};
 *     walk_root(&walk, "/home/ann/Pictures", 0, &options, err);  // once for each root
 *     walk_finish(&walk);                                        // sorts, drops what overlapping roots listed twice
 *     for (size_t i = 0; i < walk.count; i++) ... walk.photos[i].path ...
 *     walk_release(&walk);
 *
 * The order is that of the paths' bytes, so that a run can be repeated. Left out are hidden names, unless wanted; what systems keep
 * beside photographs (thumbnails, bins, AppleDouble); what is excluded; symbolic links, unless followed (rules.h).
 */
#ifndef INDEXER_WALK_WALK_H
#define INDEXER_WALK_WALK_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "indexer/walk/rules.h"
#include "indexer/walk/sidecar.h"
#include "schema/catalog/folders.h"
#include "schema/base/status.h"

/* What an earlier run kept of a folder (records.h). */
struct record {
	char *path;
	bool stamped;         /* every photograph in it had its row when its stamp was made */
	uint8_t stamp[CATALOG_STAMP];
	size_t photos;
};

struct walk_options {
	struct rules rules;
	const struct record *records; /* ascending by path; may be NULL */
	size_t record_count;
	uint64_t version;             /* raised when more is read of a photograph than before: no folder is as it was then */
	const volatile sig_atomic_t *interrupted; /* may be NULL */
	void (*tick)(void *context, size_t found); /* called now and then; may be NULL */
	void *context;
	/* Called with each folder just before its names are read: a watch that begins here misses nothing. May be NULL. */
	void (*folder)(void *context, const char *path);
	void *folder_context;
};

struct walk_photo {
	char *path;
	size_t path_size;
	size_t root;          /* the number that walk_root was given */
	int64_t size, mtime_ns, ctime_ns;
	uint64_t device, inode;
	bool regular;         /* false: a pipe, socket or device that is named like a photograph; never to be opened */
};

/* A folder in which photographs lie, or of which there is a record. */
struct walk_folder {
	char *path;
	size_t photos;
	uint8_t stamp[CATALOG_STAMP]; /* of names, sizes and times of its photographs and of what lies beside them */
	bool stampable;       /* false: it could not be read whole, or holds what is no regular file */
	bool same;            /* its record has this stamp: its photographs are counted, not listed */
	size_t unsettled;     /* the run's: photographs whose rows do not say what the stamp says */
};

/* Photo formats that are known by name, but cannot be decoded. */
enum { WALK_FORMATS = 40 };

struct walk {
	struct walk_photo *photos;
	size_t count, capacity;
	struct walk_trouble {
		char *path;   /* of a folder that could not be read whole: what is known below it has not vanished */
		char *reason;
	} *troubles;
	size_t trouble_count;
	struct walk_folder *folders; /* ascending after walk_finish */
	size_t folder_count, folder_capacity;
	size_t same;          /* photographs in folders that are as they were */
	size_t stats;         /* names whose size and time were asked for */
	struct sidecars sidecars; /* files that may say something about a photograph; sorted by walk_finish */
	size_t links;         /* symbolic links named like photographs, not followed */
	size_t unsupported[WALK_FORMATS]; /* files by walk_format_name */
};

/* root: absolute, resolved; number: the caller's, of overlapping roots the lowest counts. A single file is taken whatever its
 * name. STATUS_NOT_FOUND or STATUS_IO if root itself cannot be read; troubles below it are recorded and do not stop the
 * walk. STATUS_INTERRUPTED. */
enum status walk_root(struct walk *walk, const char *root, size_t number, const struct walk_options *options, struct err *err);
void walk_finish(struct walk *walk);
void walk_release(struct walk *walk);

const struct walk_photo *walk_find(const struct walk *walk, const char *path); /* after walk_finish; NULL: not listed */
/* After walk_finish; path as folders has it, or of something that lies in the folder itself. NULL: none. */
struct walk_folder *walk_folder_find(const struct walk *walk, const char *path);
struct walk_folder *walk_folder_of(const struct walk *walk, const char *path);
const char *walk_format_name(size_t i); /* "jxl" */

#endif
