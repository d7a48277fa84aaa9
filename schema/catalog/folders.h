/* folders.h: what a run of `coca index` leaves for the next one, so that an unchanged library is known by its folders and not
 * row by row: for each folder a stamp of the files in it, as they were when every one of them had its row.
 *
 *     catalog_walk_whole(catalog, model, "/photos", &whole, err);   // may the folders be believed?
 *     if (whole) catalog_folders_each(catalog, model, "/photos", visit, context, err);
 *
 * A walk is whole while every photograph below its path that is not gone lies in a folder that is listed here, and every stamp
 * was made of what the rows say. Whatever else changes a row of photos or takes an embedding away makes none of them whole, by triggers:
 * the next run then compares row by row and lists the folders anew.
 */
#ifndef SCHEMA_CATALOG_FOLDERS_H
#define SCHEMA_CATALOG_FOLDERS_H

#include "schema/catalog/photos.h"

enum { CATALOG_STAMP = 16 };

struct catalog_folder {
	const char *path;
	bool stamped;                 /* false: there is more to its rows than a stamp can say */
	uint8_t stamp[CATALOG_STAMP];
	int64_t photos;               /* that were there when the stamp was made */
};

/* path or a folder above it. */
enum status catalog_walk_whole(struct catalog *catalog, int64_t model, const char *path, bool *whole, struct err *err);
enum status catalog_walk_put(struct catalog *catalog, int64_t model, const char *path, struct err *err);
/* The paths of whole walks. */
typedef enum status (*path_visitor)(void *context, const char *path, struct err *err);
enum status catalog_walks_each(struct catalog *catalog, int64_t model, path_visitor visit, void *context, struct err *err);

/* path and what is below, ascending. The folder's path is valid during the visit. */
typedef enum status (*folder_visitor)(void *context, const struct catalog_folder *folder, struct err *err);
enum status catalog_folders_each(struct catalog *catalog, int64_t model, const char *path, folder_visitor visit, void *context,
				 struct err *err);
enum status catalog_folder_put(struct catalog *catalog, int64_t model, const struct catalog_folder *folder, struct err *err);
enum status catalog_folder_delete(struct catalog *catalog, int64_t model, const char *path, struct err *err);
enum status catalog_folders_delete(struct catalog *catalog, int64_t model, const char *path, struct err *err); /* and all below */

/* The photographs that lie in a folder itself, by path; what lies in folders of it is passed over, not read. */
enum status catalog_photos_of_folder(struct catalog *catalog, const char *folder, photo_visitor visit, void *context, struct err *err);

#endif
