/* filter.h: which photographs pass --in, --since, --until, --camera, --near, --text and --label and their negations.
 *
 *     struct photo_filter not_paris = {.in = "/photos/paris"}, filter = {.camera = "canon", .except = &not_paris};
 *     catalog_filter(catalog, &filter, &contents, &n, err);
 */
#ifndef SCHEMA_CATALOG_FILTER_H
#define SCHEMA_CATALOG_FILTER_H

#include "schema/catalog/catalog.h"

enum { PHOTO_LABELS_MOST = 4 };
struct photo_filter {
	const char *in;              /* path prefix at a component's border; NULL: any */
	bool has_since, has_until;
	int64_t since, until;        /* taken_at local seconds, since <= t < until; photos without a date do not pass */
	const char *camera;          /* substring of camera or lens, ASCII case folded */
	bool has_near;
	double latitude, longitude, km;
	const char *text;            /* words that a text tied to the photo contains */
	struct photo_label {
		const char *name;    /* as the user wrote it (heads.h) */
		int64_t id;          /* what catalog_label_find makes of it */
		double least;        /* a probability; 0: the label is what the head says of the photo */
	} labels[PHOTO_LABELS_MOST];
	size_t label_count;          /* all of them must hold */
	const struct photo_filter *except; /* what passes this one (and no further `except`) does not pass; nor what passes its `except`, ... */
};
bool photo_filter_empty(const struct photo_filter *filter);
/* Contents with a photo that passes and is there, READY; ascending, the caller's to free. */
enum status catalog_filter(struct catalog *catalog, const struct photo_filter *filter, int64_t **contents, size_t *n, struct err *err);
/* The ids of the photos that pass, READY and there, newest first by taken_at, those without a date last; at most limit; the
 * caller's to free. */
enum status catalog_filter_newest(struct catalog *catalog, const struct photo_filter *filter, size_t limit, int64_t **photos, size_t *n,
				  struct err *err);
/* Whether one photo row passes (a copy elsewhere may not), whatever its state. */
enum status catalog_filter_photo(struct catalog *catalog, const struct photo_filter *filter, int64_t photo, bool *passes, struct err *err);

#endif
