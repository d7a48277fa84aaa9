-- The catalog's tables, version 7: what a new catalog is made from. An older one comes to the same by migrate.c's steps, and a test
-- (tests/schema/catalog/schema.c) holds both to it. How to add a column: README.md.
--
-- Paths, collections, names and texts are BLOBs: bytes, compared as bytes, never assumed to be UTF-8.
-- "There" is a photo with state 0 (READY; 1 is FAILED: enum photo_state) and gone_since 0.

CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO meta VALUES ('uuid', lower(hex(randomblob(16))));

-- ---- models, roots --------------------------------------------------------------------------------------------------

-- AUTOINCREMENT, here and below: an id that a vector file or a user's list still names never means another row.
CREATE TABLE models (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	config_digest TEXT NOT NULL,
	weights_digest TEXT NOT NULL,
	name TEXT NOT NULL,
	dim INTEGER NOT NULL CHECK (dim > 0),
	tokens INTEGER NOT NULL,
	width INTEGER NOT NULL,
	UNIQUE (config_digest, weights_digest)
);

-- Digests of files that are slow to read, by what tells that a file is the same.
CREATE TABLE weight_digests (
	path BLOB PRIMARY KEY,
	size INTEGER NOT NULL,
	mtime_ns INTEGER NOT NULL,
	digest TEXT NOT NULL,
	ctime_ns INTEGER NOT NULL DEFAULT 0,
	inode INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- The folders that `coca index` was given.
CREATE TABLE roots (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	path BLOB NOT NULL UNIQUE,
	indexed_at INTEGER NOT NULL DEFAULT 0
);

-- ---- photographs: a content for distinct bytes, a photo for each path that has them ---------------------------------

CREATE TABLE contents (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 16),
	phash INTEGER
);

-- ctime_ns: when the inode last changed; a file that another one of the same size and time replaced is told by it. 0: not known.
-- facts: a stamp of the files beside it as they were when all was read.
CREATE TABLE photos (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	root INTEGER NOT NULL REFERENCES roots (id),
	path BLOB NOT NULL UNIQUE,
	size INTEGER NOT NULL,
	mtime_ns INTEGER NOT NULL,
	content INTEGER REFERENCES contents (id),
	state INTEGER NOT NULL CHECK (state IN (0, 1)),
	error TEXT,
	gone_since INTEGER NOT NULL,
	format TEXT,
	width INTEGER NOT NULL,
	height INTEGER NOT NULL,
	orientation INTEGER NOT NULL,
	taken_at INTEGER,
	taken_offset INTEGER,
	latitude REAL,
	longitude REAL,
	camera TEXT,
	lens TEXT,
	ctime_ns INTEGER NOT NULL DEFAULT 0,
	facts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX photos_root ON photos (root);
CREATE INDEX photos_content ON photos (content);
-- Whether a content has a photo that is there: of a content that many had, one look.
CREATE INDEX photos_there ON photos (content) WHERE state = 0 AND gone_since = 0;
CREATE INDEX photos_failed ON photos (id) WHERE state = 1;
CREATE INDEX photos_gone ON photos (gone_since) WHERE gone_since <> 0;
-- All that a filter asks for, so that it need not look at the rows.
CREATE INDEX photos_taken ON photos (taken_at, content, state, gone_since) WHERE taken_at IS NOT NULL;
CREATE INDEX photos_place ON photos (latitude, longitude, content, state, gone_since) WHERE latitude IS NOT NULL;
CREATE INDEX photos_camera ON photos (camera, lens, content, state, gone_since);

-- ---- what models say of contents ------------------------------------------------------------------------------------

CREATE TABLE embeddings (
	model INTEGER NOT NULL REFERENCES models (id),
	content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
	vector BLOB NOT NULL,
	PRIMARY KEY (model, content)
) WITHOUT ROWID;
CREATE INDEX embeddings_content ON embeddings (content);

-- Tokens of the decoder, a cache within a budget. The blobs lie apart: marking tokens as used must not rewrite them. used_at counts uses,
-- not seconds: clocks go back.
CREATE TABLE image_tokens (
	id INTEGER PRIMARY KEY,
	content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
	model INTEGER NOT NULL REFERENCES models (id),
	bytes INTEGER NOT NULL,
	used_at INTEGER NOT NULL,
	UNIQUE (content, model)
);
CREATE INDEX image_tokens_used ON image_tokens (used_at, bytes);
CREATE TABLE token_blobs (id INTEGER PRIMARY KEY REFERENCES image_tokens (id) ON DELETE CASCADE, blob BLOB NOT NULL);

-- What a model's poolers read, for the heads that are taught later: as image_tokens, within a budget of its own.
CREATE TABLE encoder_tokens (
	id INTEGER PRIMARY KEY,
	content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
	model INTEGER NOT NULL REFERENCES models (id),
	bytes INTEGER NOT NULL,
	used_at INTEGER NOT NULL,
	UNIQUE (content, model)
);
CREATE INDEX encoder_tokens_used ON encoder_tokens (used_at, bytes);
CREATE TABLE encoder_blobs (id INTEGER PRIMARY KEY REFERENCES encoder_tokens (id) ON DELETE CASCADE, blob BLOB NOT NULL);

-- ---- texts ----------------------------------------------------------------------------------------------------------

CREATE TABLE texts (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	collection BLOB NOT NULL,
	content INTEGER REFERENCES contents (id),
	text BLOB NOT NULL
);
CREATE UNIQUE INDEX texts_same ON texts (collection, ifnull(content, 0), text);
CREATE INDEX texts_content ON texts (content) WHERE content IS NOT NULL;

CREATE TABLE text_embeddings (
	model INTEGER NOT NULL REFERENCES models (id),
	text INTEGER NOT NULL REFERENCES texts (id) ON DELETE CASCADE,
	vector BLOB NOT NULL,
	PRIMARY KEY (model, text)
) WITHOUT ROWID;
CREATE INDEX text_embeddings_text ON text_embeddings (text);

-- log p(text | null): null is a content, or minus the number of a picture of noise. A cache, so no key to contents.
CREATE TABLE text_nulls (
	model INTEGER NOT NULL REFERENCES models (id),
	text INTEGER NOT NULL REFERENCES texts (id) ON DELETE CASCADE,
	"null" INTEGER NOT NULL,
	likelihood REAL NOT NULL,
	PRIMARY KEY (model, text, "null")
) WITHOUT ROWID;
CREATE INDEX text_nulls_text ON text_nulls (text);

-- Which text a model wrote about a content.
CREATE TABLE captions (
	model INTEGER NOT NULL REFERENCES models (id),
	content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
	text INTEGER NOT NULL REFERENCES texts (id) ON DELETE CASCADE,
	likelihood REAL NOT NULL,
	PRIMARY KEY (model, content)
) WITHOUT ROWID;
CREATE INDEX captions_content ON captions (content);
CREATE INDEX captions_text ON captions (text);

-- Which texts a photo's file, or one beside it, brought. The last photo that lets go of a text takes it along.
CREATE TABLE photo_texts (
	photo INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
	text INTEGER NOT NULL REFERENCES texts (id) ON DELETE CASCADE,
	current INTEGER NOT NULL,
	PRIMARY KEY (photo, text)
) WITHOUT ROWID;
CREATE INDEX photo_texts_text ON photo_texts (text);
CREATE TRIGGER photo_texts_removed AFTER DELETE ON photo_texts
	WHEN NOT EXISTS (SELECT 1 FROM photo_texts p WHERE p.text = OLD.text)
BEGIN
	DELETE FROM texts WHERE id = OLD.text;
END;

-- ---- heads ----------------------------------------------------------------------------------------------------------

-- A head is its file's bytes. What it says of each content is a cache, made again from tokens: scored has a row for each content that it was
-- asked about, label_scores one for each label that is not out of the question.
CREATE TABLE heads (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	model INTEGER NOT NULL REFERENCES models (id),
	name BLOB NOT NULL UNIQUE,
	bytes BLOB NOT NULL
);
CREATE TABLE labels (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	head INTEGER NOT NULL REFERENCES heads (id) ON DELETE CASCADE,
	place INTEGER NOT NULL,
	name BLOB NOT NULL,
	UNIQUE (head, place)
);
CREATE INDEX labels_name ON labels (name);
CREATE TABLE scored (
	head INTEGER NOT NULL REFERENCES heads (id) ON DELETE CASCADE,
	content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
	PRIMARY KEY (head, content)
) WITHOUT ROWID;
CREATE INDEX scored_content ON scored (content);
CREATE TABLE label_scores (
	label INTEGER NOT NULL REFERENCES labels (id) ON DELETE CASCADE,
	content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
	probability REAL NOT NULL,
	has INTEGER NOT NULL,
	PRIMARY KEY (label, content)
) WITHOUT ROWID;
CREATE INDEX label_scores_content ON label_scores (content);

-- ---- generations: whether a vector file still fits ------------------------------------------------------------------

-- generation follows the set {content: embedded by the model, and a photo of it is there}, text_generation {text: embedded by the model}.
-- Steps upwards are random: a generation that was lost with the last seconds before a power cut, after a vector file was made for it, must not
-- come again for another set.
CREATE TABLE index_state (
	model INTEGER PRIMARY KEY REFERENCES models (id),
	generation INTEGER NOT NULL,
	text_generation INTEGER NOT NULL DEFAULT 0
);
CREATE TRIGGER models_state AFTER INSERT ON models
BEGIN
	INSERT INTO index_state (model, generation) VALUES (NEW.id, 0);
END;

CREATE TRIGGER embeddings_added AFTER INSERT ON embeddings
BEGIN
	UPDATE index_state SET generation = generation + 1 + (random() & 0xffffffff) WHERE model = NEW.model;
END;
CREATE TRIGGER embeddings_changed AFTER UPDATE ON embeddings
BEGIN
	UPDATE index_state SET generation = generation + 1 + (random() & 0xffffffff) WHERE model IN (OLD.model, NEW.model);
END;
CREATE TRIGGER embeddings_removed AFTER DELETE ON embeddings
	WHEN EXISTS (SELECT 1 FROM photos p WHERE p.content = OLD.content AND p.state = 0 AND p.gone_since = 0 AND p.content IS NOT NULL)
BEGIN
	UPDATE index_state SET generation = generation + 1 + (random() & 0xffffffff) WHERE model = OLD.model;
END;

-- A photo comes or goes: the set changes unless another one of its content is there.
CREATE TRIGGER photos_added AFTER INSERT ON photos
	WHEN NEW.state = 0 AND NEW.gone_since = 0 AND NEW.content IS NOT NULL
	AND NOT EXISTS (SELECT 1 FROM photos p WHERE p.content = NEW.content AND p.state = 0 AND p.gone_since = 0 AND p.content IS NOT NULL
	                AND p.id <> NEW.id)
BEGIN
	UPDATE index_state SET generation = generation + 1 + (random() & 0xffffffff)
	WHERE EXISTS (SELECT 1 FROM embeddings e WHERE e.model = index_state.model AND e.content = NEW.content);
END;
CREATE TRIGGER photos_removed AFTER DELETE ON photos
	WHEN OLD.state = 0 AND OLD.gone_since = 0 AND OLD.content IS NOT NULL
	AND NOT EXISTS (SELECT 1 FROM photos p WHERE p.content = OLD.content AND p.state = 0 AND p.gone_since = 0 AND p.content IS NOT NULL
	                AND p.id <> OLD.id)
BEGIN
	UPDATE index_state SET generation = generation + 1 + (random() & 0xffffffff)
	WHERE EXISTS (SELECT 1 FROM embeddings e WHERE e.model = index_state.model AND e.content = OLD.content);
END;
CREATE TRIGGER photos_gained AFTER UPDATE OF content, state, gone_since ON photos
	WHEN NEW.state = 0 AND NEW.gone_since = 0 AND NEW.content IS NOT NULL
	AND NOT (OLD.state = 0 AND OLD.gone_since = 0 AND OLD.content IS NOT NULL AND OLD.content = NEW.content)
	AND NOT EXISTS (SELECT 1 FROM photos p WHERE p.content = NEW.content AND p.state = 0 AND p.gone_since = 0 AND p.content IS NOT NULL
	                AND p.id <> NEW.id)
BEGIN
	UPDATE index_state SET generation = generation + 1 + (random() & 0xffffffff)
	WHERE EXISTS (SELECT 1 FROM embeddings e WHERE e.model = index_state.model AND e.content = NEW.content);
END;
CREATE TRIGGER photos_lost AFTER UPDATE OF content, state, gone_since ON photos
	WHEN OLD.state = 0 AND OLD.gone_since = 0 AND OLD.content IS NOT NULL
	AND NOT (NEW.state = 0 AND NEW.gone_since = 0 AND NEW.content IS NOT NULL AND OLD.content = NEW.content)
	AND NOT EXISTS (SELECT 1 FROM photos p WHERE p.content = OLD.content AND p.state = 0 AND p.gone_since = 0 AND p.content IS NOT NULL
	                AND p.id <> OLD.id)
BEGIN
	UPDATE index_state SET generation = generation + 1 + (random() & 0xffffffff)
	WHERE EXISTS (SELECT 1 FROM embeddings e WHERE e.model = index_state.model AND e.content = OLD.content);
END;

CREATE TRIGGER text_embeddings_added AFTER INSERT ON text_embeddings
BEGIN
	UPDATE index_state SET text_generation = text_generation + 1 + (random() & 0xffffffff) WHERE model IN (NEW.model);
END;
CREATE TRIGGER text_embeddings_changed AFTER UPDATE ON text_embeddings
BEGIN
	UPDATE index_state SET text_generation = text_generation + 1 + (random() & 0xffffffff) WHERE model IN (OLD.model, NEW.model);
END;
CREATE TRIGGER text_embeddings_removed AFTER DELETE ON text_embeddings
BEGIN
	UPDATE index_state SET text_generation = text_generation + 1 + (random() & 0xffffffff) WHERE model IN (OLD.model);
END;

-- ---- walks: what an unchanged library is known by (folders.h) -------------------------------------------------------

CREATE TABLE walks (
	model INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE,
	path BLOB NOT NULL,
	whole INTEGER NOT NULL,
	PRIMARY KEY (model, path)
) WITHOUT ROWID;
CREATE TABLE folders (
	model INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE,
	path BLOB NOT NULL,
	stamp BLOB,
	photos INTEGER NOT NULL,
	PRIMARY KEY (model, path)
) WITHOUT ROWID;

-- Whatever else changes a row that a stamp was made of makes no walk whole.
CREATE TRIGGER photos_walk_added AFTER INSERT ON photos
BEGIN
	UPDATE walks SET whole = 0 WHERE whole;
END;
CREATE TRIGGER photos_walk_removed AFTER DELETE ON photos
BEGIN
	UPDATE walks SET whole = 0 WHERE whole;
END;
CREATE TRIGGER photos_walk_changed AFTER UPDATE ON photos
	WHEN OLD.path IS NOT NEW.path OR OLD.root IS NOT NEW.root OR OLD.size IS NOT NEW.size OR OLD.mtime_ns IS NOT NEW.mtime_ns
	OR OLD.ctime_ns IS NOT NEW.ctime_ns OR OLD.content IS NOT NEW.content OR OLD.state IS NOT NEW.state
	OR OLD.gone_since IS NOT NEW.gone_since OR OLD.facts IS NOT NEW.facts
BEGIN
	UPDATE walks SET whole = 0 WHERE whole;
END;
CREATE TRIGGER embeddings_walk_removed AFTER DELETE ON embeddings
BEGIN
	UPDATE walks SET whole = 0 WHERE whole;
END;
