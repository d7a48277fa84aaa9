/* vanish.h: what becomes of photographs that the catalog knows and a walk did not find.
 *
 * Nothing is forgotten because a drive is away: a folder that is missing, or that lost more than a fifth of its photographs
 * (and more than VANISH_FEW) at once, keeps them all until the user says --prune. So does a folder that cannot be read. What came to
 * another place in the same run was moved, and is not lost; a copy that was there before is no move: it is all that is left.
 */
#ifndef INDEXER_WALK_VANISH_H
#define INDEXER_WALK_VANISH_H

#include "indexer/walk/records.h"

enum { VANISH_FEW = 5 };

struct vanish {
	struct catalog *catalog;       /* nothing is open in it */
	const struct walk *walk;       /* finished */
	const struct targets *targets; /* below a trusted one only the rows of folders that changed are read */
	const struct records *records; /* that the walk was told */
	const struct rules *rules;
	/* catalog_photos_before's, from before the run */
	int64_t newest;
	const int64_t *were_gone;
	size_t were_gone_count;
	bool prune;
};

struct vanish_result {
	size_t gone;            /* known until now, and not to be found */
	size_t dropped;         /* deleted from the catalog: prune */
	size_t kept;            /* not to be seen, and not marked as gone for it */
	bool unknown_target;    /* one is away, and the catalog knows nothing of it */
	struct buffer warnings; /* notes.h */
	struct buffer left;     /* the folder, with a NUL behind it, of each photograph that is neither gone now nor was seen */
};

/* result: zeroed; filled as far as it came, and the caller's to release, whatever is returned. */
enum status vanish_run(const struct vanish *vanish, struct vanish_result *result, struct err *err);
void vanish_release(struct vanish_result *result);

#endif
