/* command_similar.c: coca similar: photographs like a given one, by its stored embedding where it is indexed. */
#include "query/commands.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "query/format.h"
#include "query/library.h"
#include "query/page.h"
#include "query/parse.h"
#include "query/search.h"
#include "schema/file.h"

#include "schema/banned.h"

struct similar {
	const char *file;
	char *path;                /* as the catalog would hold it */
	size_t limit;
	enum format format;
	struct library library;
	struct vectors *vectors;
	struct candidate *candidates;
	size_t count;
	struct results results;
};

/* Its content by hash; 0 when the catalog does not hold it. */
static enum status find_content(struct similar *s, const struct file_map *map, int64_t *content, struct err *err)
{
	XXH128_canonical_t hash;

	XXH128_canonicalFromHash(&hash, XXH3_128bits(map->data, map->size));
	return catalog_content_find(s->library.catalog, hash.digest, content, err);
}

static enum status embed(struct similar *s, float *embedding, struct err *err)
{
	struct library *library = &s->library;
	struct engine *engine = &library->engine;
	struct file_map map;
	int64_t content = 0;
	bool found = false;
	enum status status = file_map_open(s->file, &map, err);

	if (status != STATUS_OK)
		return status;
	status = find_content(s, &map, &content, err);
	if (status == STATUS_OK && content)
		status = catalog_embedding_get(library->catalog, content, library->row.id, embedding, engine->embed, &found, err);
	/* As `coca index` would decode it. */
	if (status == STATUS_OK && !found) {
		status = engine_encode_bytes(engine, map.data, map.size, ENGINE_LEAST(engine), embedding, NULL, err);
		if (status != STATUS_OK)
			err_prefix(err, "'%s'", s->file);
	}
	file_map_close(&map);
	return status;
}

static enum status find(struct similar *s, const float *embedding, struct err *err)
{
	static const struct photo_filter all;
	struct library *library = &s->library;
	enum status status = vectors_open(library->catalog, &library->row, NULL, &s->vectors, err);

	/* One more, as the file itself is left out. */
	if (status == STATUS_OK)
		status = search_candidates(library->catalog, &library->row, s->vectors, &all, embedding, s->limit + 1, &s->candidates,
					   &s->count, err);
	if (status == STATUS_OK)
		status = search_photos(library->catalog, &all, s->candidates, s->count, s->path, s->limit, &s->results, err);
	return status;
}

static enum status answer(struct similar *s, struct cli *cli, const char *page, struct err *err)
{
	float *embedding = mem_floats(s->library.engine.embed);
	struct buffer out = {0};
	enum status status = embedding ? embed(s, embedding, err) : err_memory(err, "an embedding");

	if (status == STATUS_OK)
		status = find(s, embedding, err);
	if (status == STATUS_OK) {
		format_results(&s->results, s->format, &out);
		status = format_print(cli->out, &out, err);
	}
	if (status == STATUS_OK && page)
		status = page_write(page, s->file, &s->results, err);
	free(embedding);
	return status;
}

static enum status parse(struct similar *s, const struct arguments *args, struct err *err)
{
	if (args->count != 1)
		return err_set(err, STATUS_USAGE, "coca similar takes one file");
	s->file = args->words[0];
	enum status status = arguments_number(args, "limit", 10, 1, 1000000, &s->limit, err);
	if (status == STATUS_OK)
		status = format_parse(arguments_text(args, "format", "text"), &s->format, err);
	if (status == STATUS_OK) {
		s->path = parse_folder(s->file);
		status = s->path ? STATUS_OK : err_memory(err, "a path");
	}
	return status;
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct similar s = {0};
	struct err err;
	int code = EXIT_DONE;
	enum status status = parse(&s, args, &err);

	if (status == STATUS_OK)
		status = library_open(cli, &s.library, &err);
	if (status == STATUS_OK)
		status = answer(&s, cli, arguments_text(args, "html", NULL), &err);
	if (status == STATUS_OK && s.results.count == 0) {
		fprintf(cli->log, "coca: the library holds no other photograph that is indexed by this model; hint: coca index DIR\n");
		code = EXIT_NO_RESULT;
	}
	results_release(&s.results);
	free(s.candidates);
	free(s.path);
	vectors_close(s.vectors);
	if (status != STATUS_OK)
		return library_fail(cli, &s.library, &err);
	library_close(&s.library);
	return code;
}

static const struct option_spec options[] = {
	{"limit", 'n', "N", OPTION_NUMBER, "show the best N photos (default 10)"},
	{"format", 0, "FORMAT", OPTION_TEXT, "text, json (one object a line) or paths0 (for xargs -0)"},
	{"html", 0, "FILE", OPTION_TEXT | OPTION_FILE, "also write a page with thumbnails"},
	{0},
};

const struct command command_similar = {
	.name = "similar",
	.synopsis = "FILE",
	.summary = "find photographs like this one",
	.options = options,
	.details = "The file need not be indexed. It is left out itself; copies of it elsewhere are listed.\n",
	.run = run,
	.passive_threads = true, /* waiting threads that spin cost ten times the latency on a busy machine */
};
