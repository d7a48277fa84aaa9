/* lesson.h: the photographs that a head learns from, with their labels (or questions and answers), as the frozen model sees them.
 *
 *     lesson_sources.c   folder of folders, table, shards, catalog -> bytes, labels
 *     lesson_batch.c     -> [known to the catalog? stored tokens] -> decoded -> encoded -> items
 *     lesson.c           labels numbered, what is held out kept apart -> items for tune.h
 *
 *     struct lesson lesson = {.cli = cli, .library = &library};
 *     lesson_open(&lesson, budget, err);
 *     lesson_folder(&lesson, "pets", err); lesson_shard(&lesson, "cats.tar", err); ...
 *     lesson_finish(&lesson, 10, err);                      // encodes what waits, sorts labels, keeps every tenth aside
 *     lesson_release(&lesson);
 *
 * Tokens of photographs that the catalog knows are taken from it, and kept there once they are made (within the budget of the encoder's
 * tokens); those of others live as long as the lesson. A photograph that cannot be read is named, counted and left out.
 */
#ifndef QUERY_TEACH_LESSON_H
#define QUERY_TEACH_LESSON_H

#include "schema/catalog/filter.h"
#include "model/heads/tune.h"
#include "query/session/library.h"
#include "schema/cli/progress.h"

enum lesson_part { LESSON_TRAIN, LESSON_STOP, LESSON_HELD_OUT, LESSON_LEFT_OUT /* the same photograph is held out */ };

struct lesson_item {
	char *name;               /* path, or key in a shard */
	char *question;           /* of answers; else NULL */
	struct buffer said;       /* its labels, each with a NUL behind it */
	uint32_t *labels;         /* the same in numbers, ascending, each once: set by lesson_finish */
	size_t label_count;
	uint8_t hash[CATALOG_HASH];
	void *blob;               /* packed tokens: the encoder's, or the decoder's states under the question */
	size_t size;
	float *embedding;         /* [E] */
	size_t shard_index;       /* place in its shard, from 1; 0: from elsewhere */
	enum lesson_part part;
};

struct lesson_batch;
struct lesson {
	const struct listener *listener;
	struct library *library;
	bool answers;             /* items have questions */
	struct lesson_item *items;
	size_t count, capacity;
	const char **labels;      /* by name; in the items. Set by lesson_finish */
	size_t label_count;
	size_t stored, encoded, skipped, kept; /* photographs: with stored tokens; encoded now; not readable; put into the catalog */
	size_t counts[4];         /* of each part, set by lesson_finish */
	size_t room;              /* bytes for tokens in the catalog */
	size_t limit;             /* photographs of each shard at most; 0: all */
	struct lesson_batch *batch;
	struct progress progress;
};

enum status lesson_open(struct lesson *lesson, size_t budget, struct err *err);
void lesson_release(struct lesson *lesson);

/* Each subfolder's name is the label of all photographs below it; those in the folder itself have none. */
enum status lesson_folder(struct lesson *lesson, const char *folder, struct err *err);
/* Lines of path TAB label [TAB label]...; a path may come again with another label; one without a label has none. In a lesson of answers,
 * lines of path TAB question TAB answer. Paths are relative to the table's folder. */
enum status lesson_table(struct lesson *lesson, const char *path, struct err *err);
/* The first caption is the label; or, in a lesson of answers, it is question TAB answer. */
enum status lesson_shard(struct lesson *lesson, const char *path, struct err *err);
/* "LABEL=WHAT": photographs of the catalog that pass the filter and are at or below the path WHAT, or are among the `most` nearest to the
 * words WHAT; WHAT empty: all that pass. */
enum status lesson_pick(struct lesson *lesson, const char *pick, const struct photo_filter *filter, size_t most, struct err *err);
/* Up to n photographs of the catalog that pass and are in the lesson with no label yet, drawn by their hashes: without a label. */
enum status lesson_rest(struct lesson *lesson, const struct photo_filter *filter, size_t n, struct err *err);

/* holdout: every holdout-th photograph of a shard, or of a label elsewhere, is held out; 0: none. */
enum status lesson_finish(struct lesson *lesson, size_t holdout, struct err *err);

/* Whether every photograph has exactly one label. */
bool lesson_is_single(const struct lesson *lesson);

/* The items of a part as tune.h wants them; the caller's to free. */
enum status lesson_part(const struct lesson *lesson, enum lesson_part part, struct tune_item **items, size_t *n, struct err *err);

/* ---- what the files of a lesson share ---- */

/* A photograph; what `item` says of it (name, question, said, shard_index) is copied. bytes: ours from now on, NULL: those of the file
 * `name`, which is passed over if it cannot be read. */
enum status lesson_add(struct lesson *lesson, const struct lesson_item *item, uint8_t *bytes, size_t size, struct err *err);
void lesson_item_release(struct lesson_item *item);

enum status lesson_batch_new(struct lesson *lesson, struct err *err);
void lesson_batch_free(struct lesson_batch *batch); /* takes NULL */
/* The lesson's last item waits; bytes as above. A full batch is encoded. */
enum status lesson_batch_add(struct lesson *lesson, uint8_t *bytes, size_t size, struct err *err);
/* Encodes what waits; what cannot be read leaves the lesson. */
enum status lesson_batch_flush(struct lesson *lesson, struct err *err);

#endif
