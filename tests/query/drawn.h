/* drawn.h: a small library of drawings for tests of questions: the shipped model, real files, embeddings and image tokens. */
#ifndef TESTS_QUERY_DRAWN_H
#define TESTS_QUERY_DRAWN_H

#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "tests/scenes/scenes.h"
#include "query/session/library.h"
#include "query/session/tokens.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/texts.h"
#include "schema/catalog/tokens.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

enum { DRAWN_MOST = 96 };

struct drawn {
	struct listener listener; /* hears nothing */
	volatile sig_atomic_t interrupted;
	struct library library;      /* open for writing */
	const char *folder;
	char paths[DRAWN_MOST][256];
	int64_t contents[DRAWN_MOST];
	int64_t root;
	size_t count;
};

static struct err err;

static void drawn_add(struct drawn *d, size_t i)
{
	struct engine *engine = &d->library.engine;
	struct catalog *catalog = d->library.catalog;
	size_t size = packed_tokens_size(engine->tokens, engine->width);
	float *embedding = mem_floats(engine->embed), *tokens = mem_floats(engine->tokens * engine->width);
	void *blob = mem_array(size, 1);
	XXH128_canonical_t hash;
	struct file_map map;
	struct stat st;

	snprintf(d->paths[i], sizeof d->paths[i], "%s/%06zu.jpg", d->folder, i);
	assert_int_equal(stat(d->paths[i], &st), 0);
	assert_ok(file_map_open(d->paths[i], &map, &err), &err);
	XXH128_canonicalFromHash(&hash, XXH3_128bits(map.data, map.size));
	assert_ok(engine_encode_bytes(engine, map.data, map.size, ENGINE_LEAST(engine), embedding, tokens, &err), &err);
	file_map_close(&map);
	assert_ok(catalog_content_put(catalog, hash.digest, &d->contents[i], &err), &err);
	assert_ok(catalog_embedding_put(catalog, d->contents[i], d->library.row.id, embedding, engine->embed, &err), &err);
	packed_tokens_write(tokens, engine->tokens, engine->width, blob);
	assert_ok(catalog_tokens_put(catalog, d->contents[i], d->library.row.id, blob, size, &err), &err);
	struct photo photo = {.root = d->root, .path = d->paths[i], .path_size = strlen(d->paths[i]), .content = d->contents[i], .width = 96,
			      .height = 96, .orientation = 1, .size = st.st_size,
			      .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
	assert_ok(catalog_photo_put(catalog, &photo, &err), &err);
	free(embedding);
	free(tokens);
	free(blob);
}

/* The first `indexed` of `count` drawings are in the catalog. */
static struct drawn *drawn_new(size_t count, size_t indexed)
{
	static struct drawn d;
	static char database[4096];

	d = (struct drawn){.count = indexed, .folder = test_folder(), .listener.interrupted = &d.interrupted};
	snprintf(database, sizeof database, "%s/library.db", test_folder());
	assert_ok(scenes_write(d.folder, &(struct scenes_options){count, 0, 11, 96, false, false}, &err), &err);
	assert_ok(library_open(&(struct library_options){database, "model/default", PRECISION_AUTO, LIBRARY_WRITE, &d.listener}, &d.library, &err), &err);
	assert_ok(catalog_root_put(d.library.catalog, d.folder, &d.root, &err), &err);
	for (size_t i = 0; i < indexed; i++)
		drawn_add(&d, i);
	for (size_t i = indexed; i < count; i++)
		snprintf(d.paths[i], sizeof d.paths[i], "%s/%06zu.jpg", d.folder, i);
	return &d;
}

/* content 0: tied to none */
static inline int64_t drawn_text(struct drawn *d, int64_t content, const char *bytes)
{
	struct catalog_text text = {.collection = "c", .photo_content = content, .text = bytes, .text_size = strlen(bytes)};

	assert_ok(catalog_text_put(d->library.catalog, &text, &err), &err);
	return text.id;
}

#endif
