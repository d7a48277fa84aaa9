/* migrate.c: a new catalog is made from schema.sql; an older one comes to the same by steps from one version to the next. A step that was
 * ever released is never changed: what is wrong in it is mended by a later one. tests/data/catalog-v1.db holds a file of version 1.
 */
#include "schema/catalog/internal.h"

#include <stdio.h>

#include "schema/base/embed.h"
#include "schema/base/banned.h"

EMBED_TEXT(schema_sql, "schema/catalog/schema.sql");

#define TEXT_BUMP "UPDATE index_state SET text_generation = text_generation + 1 + (random() & 0xffffffff) WHERE model IN "

static const char version_2[] =
	/* The generation of texts follows the set {text: embedded by the model}. */
	"ALTER TABLE index_state ADD COLUMN text_generation INTEGER NOT NULL DEFAULT 0;"
	"DROP TRIGGER models_state;"
	"CREATE TRIGGER models_state AFTER INSERT ON models BEGIN INSERT INTO index_state (model, generation) VALUES (NEW.id, 0); END;"
	"CREATE TRIGGER text_embeddings_added AFTER INSERT ON text_embeddings BEGIN " TEXT_BUMP "(NEW.model); END;"
	"CREATE TRIGGER text_embeddings_changed AFTER UPDATE ON text_embeddings BEGIN " TEXT_BUMP "(OLD.model, NEW.model); END;"
	"CREATE TRIGGER text_embeddings_removed AFTER DELETE ON text_embeddings BEGIN " TEXT_BUMP "(OLD.model); END;"

	/* log p(text | null): null is a content, or minus the number of a picture of noise. A cache, so no key to contents. */
	"CREATE TABLE text_nulls (model INTEGER NOT NULL REFERENCES models (id), text INTEGER NOT NULL"
	" REFERENCES texts (id) ON DELETE CASCADE, \"null\" INTEGER NOT NULL, likelihood REAL NOT NULL,"
	" PRIMARY KEY (model, text, \"null\")) WITHOUT ROWID;"
	"CREATE INDEX text_nulls_text ON text_nulls (text);"

	/* Which text a model wrote about a content. */
	"CREATE TABLE captions (model INTEGER NOT NULL REFERENCES models (id), content INTEGER NOT NULL"
	" REFERENCES contents (id) ON DELETE CASCADE, text INTEGER NOT NULL REFERENCES texts (id) ON DELETE CASCADE,"
	" likelihood REAL NOT NULL, PRIMARY KEY (model, content)) WITHOUT ROWID;"
	"CREATE INDEX captions_content ON captions (content);"
	"CREATE INDEX captions_text ON captions (text);";

/* When the file's inode last changed: a file that another one of the same size and time replaced is told by it. 0: not known. */
static const char version_3[] = "ALTER TABLE photos ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0;";

static const char version_4[] =
	/* A stamp of what a photo's file and those beside it said when they were read; and which texts they said. */
	"ALTER TABLE photos ADD COLUMN facts INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE photo_texts (photo INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE, text INTEGER NOT NULL"
	" REFERENCES texts (id) ON DELETE CASCADE, current INTEGER NOT NULL, PRIMARY KEY (photo, text)) WITHOUT ROWID;"
	"CREATE INDEX photo_texts_text ON photo_texts (text);"
	"CREATE TRIGGER photo_texts_removed AFTER DELETE ON photo_texts"
	" WHEN NOT EXISTS (SELECT 1 FROM photo_texts p WHERE p.text = OLD.text)"
	" BEGIN DELETE FROM texts WHERE id = OLD.text; END;"
	/* A perceptual hash: for near-duplicates. */
	"ALTER TABLE contents ADD COLUMN phash INTEGER;";

static const char version_5[] =
	/* What a model's poolers read, for the heads that are taught later: as image_tokens, within a budget of its own. */
	"CREATE TABLE encoder_tokens (id INTEGER PRIMARY KEY, content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,"
	" model INTEGER NOT NULL REFERENCES models (id), bytes INTEGER NOT NULL, used_at INTEGER NOT NULL,"
	" UNIQUE (content, model));"
	"CREATE INDEX encoder_tokens_used ON encoder_tokens (used_at, bytes);"
	"CREATE TABLE encoder_blobs (id INTEGER PRIMARY KEY REFERENCES encoder_tokens (id) ON DELETE CASCADE, blob BLOB NOT NULL);"

	/* A head is its file's bytes. What it says of each content is a cache, made again from tokens: scored has a row for each content
	 * that it was asked about, label_scores one for each label that is not out of the question. */
	"CREATE TABLE heads (id INTEGER PRIMARY KEY AUTOINCREMENT, model INTEGER NOT NULL REFERENCES models (id),"
	" name BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL);"
	"CREATE TABLE labels (id INTEGER PRIMARY KEY AUTOINCREMENT, head INTEGER NOT NULL REFERENCES heads (id) ON DELETE CASCADE,"
	" place INTEGER NOT NULL, name BLOB NOT NULL, UNIQUE (head, place));"
	"CREATE INDEX labels_name ON labels (name);"
	"CREATE TABLE scored (head INTEGER NOT NULL REFERENCES heads (id) ON DELETE CASCADE, content INTEGER NOT NULL"
	" REFERENCES contents (id) ON DELETE CASCADE, PRIMARY KEY (head, content)) WITHOUT ROWID;"
	"CREATE INDEX scored_content ON scored (content);"
	"CREATE TABLE label_scores (label INTEGER NOT NULL REFERENCES labels (id) ON DELETE CASCADE, content INTEGER NOT NULL"
	" REFERENCES contents (id) ON DELETE CASCADE, probability REAL NOT NULL, has INTEGER NOT NULL, PRIMARY KEY (label, content))"
	" WITHOUT ROWID;"
	"CREATE INDEX label_scores_content ON label_scores (content);";

#define UNWHOLE " BEGIN UPDATE walks SET whole = 0 WHERE whole; END;"
#define DIFFERS(column) "OLD." column " IS NOT NEW." column

static const char version_6[] =
	/* See folders.h. */
	"CREATE TABLE walks (model INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE, path BLOB NOT NULL, whole INTEGER NOT NULL,"
	" PRIMARY KEY (model, path)) WITHOUT ROWID;"
	"CREATE TABLE folders (model INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE, path BLOB NOT NULL, stamp BLOB,"
	" photos INTEGER NOT NULL, PRIMARY KEY (model, path)) WITHOUT ROWID;"
	"CREATE TRIGGER photos_walk_added AFTER INSERT ON photos" UNWHOLE
	"CREATE TRIGGER photos_walk_removed AFTER DELETE ON photos" UNWHOLE
	"CREATE TRIGGER photos_walk_changed AFTER UPDATE ON photos WHEN " DIFFERS("path") " OR " DIFFERS("root") " OR " DIFFERS("size") " OR "
	DIFFERS("mtime_ns") " OR " DIFFERS("ctime_ns") " OR " DIFFERS("content") " OR " DIFFERS("state") " OR " DIFFERS("gone_since") " OR "
	DIFFERS("facts") UNWHOLE
	"CREATE TRIGGER embeddings_walk_removed AFTER DELETE ON embeddings" UNWHOLE

	/* All that a filter asks for, so that it need not look at the rows. */
	"DROP INDEX photos_taken;"
	"CREATE INDEX photos_taken ON photos (taken_at, content, state, gone_since) WHERE taken_at IS NOT NULL;"
	"CREATE INDEX photos_place ON photos (latitude, longitude, content, state, gone_since) WHERE latitude IS NOT NULL;"
	"CREATE INDEX photos_camera ON photos (camera, lens, content, state, gone_since);";

static const char version_7[] =
	/* Whether a content has a photo that is there: of a content that many had, one look. */
	"CREATE INDEX photos_there ON photos (content) WHERE state = 0 AND gone_since = 0;"
	/* Weights of the same size and time may be others. */
	"ALTER TABLE weight_digests ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE weight_digests ADD COLUMN inode INTEGER NOT NULL DEFAULT 0;";

const char *const catalog_steps[CATALOG_VERSION] = {NULL, version_2, version_3, version_4, version_5, version_6, version_7};

enum status catalog_migrate(struct catalog *catalog, struct err *err)
{
	char sql[96];
	int64_t version;
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	status = catalog_number(catalog, "PRAGMA user_version", NO_VALUES, &version, err);
	if (status == STATUS_OK && version == 0)
		status = catalog_execute(catalog, schema_sql, err);
	for (; status == STATUS_OK && version && version < CATALOG_VERSION; version++)
		status = catalog_execute(catalog, catalog_steps[version], err);
	if (status == STATUS_OK) {
		snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", CATALOG_APPLICATION, CATALOG_VERSION);
		status = catalog_execute(catalog, sql, err);
	}
	return catalog_scope_leave(catalog, own, status, err);
}
