/* photo.c: see photo.h. */
#include "query/ask/photo.h"

#include "schema/catalog/photos.h"
#include "schema/base/banned.h"

enum status subject_library(struct cli *cli, enum catalog_mode mode, struct library *library, struct err *err)
{
	*library = (struct library){0};
	enum status status = catalog_open(cli->database, mode, &library->catalog, err);

	if (status == STATUS_NOT_FOUND && mode == CATALOG_READ) {
		library->empty = true;
		status = STATUS_OK;
	}
	if (status == STATUS_OK)
		status = engine_open(cli->model, &library->engine, err);
	if (status != STATUS_OK || !library->catalog)
		return status;
	status = engine_identify(&library->engine, library->catalog, &library->row, err);
	if (status == STATUS_NOT_FOUND) {
		library->empty = true;
		library->row.id = 0;
		status = STATUS_OK;
	}
	return status;
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

struct path_search {
	struct catalog *catalog;
	const struct photo_filter *filter;
	struct buffer *path;
	bool found;
};

static enum status take_path(void *context, const struct photo *photo, struct err *err)
{
	struct path_search *search = context;
	bool passes = true;
	enum status status = STATUS_OK;

	if (search->found || photo->state != PHOTO_READY)
		return STATUS_OK;
	if (search->filter && !photo_filter_empty(search->filter))
		status = catalog_filter_photo(search->catalog, search->filter, photo->id, &passes, err);
	if (status != STATUS_OK || !passes)
		return status;
	buffer_append(search->path, photo->path, photo->path_size);
	search->found = true;
	return search->path->failed ? err_memory(err, "a path") : STATUS_OK;
}

enum status subject_path(struct library *library, int64_t content, const struct photo_filter *filter, struct buffer *path, struct err *err)
{
	struct path_search search = {library->catalog, filter, path, false};

	return catalog_photos_of_content(library->catalog, content, false, take_path, &search, err);
}
