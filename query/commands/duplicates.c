/* duplicates.c: coca duplicates: groups of copies and of photographs that look the same; nothing is deleted. */
#include "query/commands/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "query/find/duplicates.h"
#include "query/show/format.h"
#include "query/session/library.h"
#include "query/show/page.h"
#include "query/ask/parse.h"
#include "schema/catalog/photos.h"
#include "schema/base/json.h"
#include "schema/base/embed.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_duplicates, "query/commands/duplicates.txt");

struct options {
	struct duplicates_options find;
	size_t bits;
	const char *page;
	enum format format;
};

static const struct option_spec options[] = {
	OPTION_FLAG(struct options, find.exact, "exact", 0, "only files of the same content"),
	OPTION_TEXT(struct options, find.in, "in", 0, "DIR", OPTION_FOLDER, "only photos below this folder"),
	OPTION_NUMBER(struct options, bits, "bits", 0, "N", 0, DUPLICATES_BITS_MOST, DUPLICATES_BITS,
		      "in how many of 64 bits the hashes of near copies may differ (default %, at most 16)"),
	OPTION_REAL(struct options, find.similarity, "similarity", 0, "X", -INFINITY, INFINITY, DUPLICATES_SIMILARITY,
		    "which similarity near copies have at least (default %)"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_PATHS0, FORMAT_TEXT, "text, or json (one group a line)"),
	OPTION_TEXT(struct options, page, "html", 0, "FILE", OPTION_FILE, "also write a page with thumbnails"),
	{0},
};

struct work {
	struct cli *cli;
	struct duplicates_options options;
	char *in;
	enum format format;
	const char *page;
	struct duplicates found;
};

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;

	if (args->count)
		return err_set(err, STATUS_USAGE, "coca duplicates takes no words; hint: --in DIR");
	if (given->format == FORMAT_PATHS0)
		return err_set(err, STATUS_USAGE, "--format takes text or json: a list of paths would not say which belong together");
	if (given->find.exact)
		cli->needs = NEEDS_CATALOG;
	return STATUS_OK;
}

static enum status parse(struct work *w, const struct options *given, struct err *err)
{
	w->page = given->page;
	w->format = given->format;
	w->options = given->find;
	w->options.bits = (unsigned)given->bits;
	if (given->find.in) {
		w->options.in = w->in = parse_folder(given->find.in);
		if (!w->in)
			return err_memory(err, "a path");
	}
	return STATUS_OK;
}

static const char *kind_of(const struct duplicates *found, size_t group, size_t i)
{
	return i == found->groups[group] ? "best" : found->copies[i].same ? "copy" : "near";
}

static void text_group(const struct duplicates *found, size_t group, struct buffer *out)
{
	size_t from = found->groups[group], to = found->groups[group + 1];

	buffer_format(out, "group %zu: %zu photos\n", group + 1, to - from);
	for (size_t i = from; i < to; i++) {
		const struct duplicate *copy = &found->copies[i];
		char bytes[16], size[32];
		snprintf(size, sizeof size, "%lld x %lld", (long long)copy->width, (long long)copy->height);
		buffer_format(out, "  %s  %-13s  %9s  ", kind_of(found, group, i), size, cli_bytes((double)copy->bytes, bytes));
		format_visible(copy->path, strlen(copy->path), out);
		if (!copy->same)
			buffer_format(out, "  (%u bits, similarity %.3f)", copy->bits, (double)copy->similarity);
		buffer_text(out, access(copy->path, F_OK) != 0 ? "  (missing)\n" : "\n");
	}
}

static void json_group(const struct duplicates *found, size_t group, struct buffer *out)
{
	buffer_format(out, "{\"group\":%zu,\"photos\":[", group + 1);
	for (size_t i = found->groups[group]; i < found->groups[group + 1]; i++) {
		const struct duplicate *copy = &found->copies[i];
		buffer_format(out, "%s{\"path\":", i > found->groups[group] ? "," : "");
		json_string(out, copy->path, strlen(copy->path));
		buffer_format(out, ",\"kind\":\"%s\",\"width\":%lld,\"height\":%lld,\"bytes\":%lld,\"hash_distance\":%u,\"similarity\":",
			      kind_of(found, group, i), (long long)copy->width, (long long)copy->height, (long long)copy->bytes,
			      copy->bits);
		json_number(out, (double)copy->similarity);
		buffer_format(out, ",\"missing\":%s}", access(copy->path, F_OK) != 0 ? "true" : "false");
	}
	buffer_text(out, "]}\n");
}

static enum status take_photo(void *context, const struct photo *photo, struct err *err)
{
	struct result *result = context;

	result->photo = *photo;
	result->photo.error = result->photo.format = result->photo.lens = NULL;
	result->photo.path = mem_copy(photo->path, photo->path_size);
	result->photo.camera = photo->camera ? mem_copy(photo->camera, strlen(photo->camera)) : NULL;
	return result->photo.path ? STATUS_OK : err_memory(err, "a path");
}

/* The contact sheet: every photo, group by group, with its part in its group. */
static enum status write_page(struct work *w, struct catalog *catalog, struct err *err)
{
	const struct duplicates *found = &w->found;
	struct results results = {.items = mem_array(found->count, sizeof *results.items)};
	enum status status = results.items ? STATUS_OK : err_memory(err, "a page");

	for (size_t g = 0; g < found->group_count && status == STATUS_OK; g++)
		for (size_t i = found->groups[g]; i < found->groups[g + 1] && status == STATUS_OK; i++) {
			const struct duplicate *copy = &found->copies[i];
			struct result *result = &results.items[results.count];
			struct buffer caption = {0};
			char bytes[16];
			buffer_format(&caption, "group %zu: %s, %lld x %lld, %s", g + 1, kind_of(found, g, i), (long long)copy->width,
				      (long long)copy->height, cli_bytes((double)copy->bytes, bytes));
			*result = (struct result){.rank = i - found->groups[g] + 1, .similarity = NAN, .match = NAN, .score = (double)NAN,
						  .missing = access(copy->path, F_OK) != 0, .caption = caption.data};
			results.count++;
			status = catalog_photo_by_id(catalog, copy->photo, take_photo, result, err);
		}
	if (status == STATUS_OK)
		status = page_write(w->page, "duplicates", &results, err);
	for (size_t i = 0; i < results.count; i++) {
		free((char *)results.items[i].photo.path);
		free((char *)results.items[i].photo.camera);
	}
	results_release(&results);
	return status;
}

static enum status print(struct work *w, struct catalog *catalog, struct err *err)
{
	const struct duplicates *found = &w->found;
	enum status status = STATUS_OK;
	double spare = 0;
	char bytes[16];

	for (size_t g = 0; g < found->group_count && status == STATUS_OK; g++) {
		struct buffer out = {0};
		if (w->format == FORMAT_JSON)
			json_group(found, g, &out);
		else
			text_group(found, g, &out);
		status = format_print(w->cli->out, &out, err);
		for (size_t i = found->groups[g] + 1; i < found->groups[g + 1]; i++)
			spare += (double)found->copies[i].bytes;
	}
	if (status == STATUS_OK && w->page)
		status = write_page(w, catalog, err);
	if (status == STATUS_OK && found->unhashed)
		listener_note(&w->cli->listener, "%zu photos were indexed before hashes were kept, and are compared by content alone; hint: coca index",
		     found->unhashed);
	if (status == STATUS_OK && found->group_count)
		listener_note(&w->cli->listener, "%zu group%s, %s beside the best of each; nothing is deleted", found->group_count,
		     found->group_count == 1 ? "" : "s", cli_bytes(spare, bytes));
	return status;
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct work w = {.cli = cli};
	struct library *library = cli->library;
	struct err err;
	enum status status = parse(&w, args->options, &err);
	int code = EXIT_DONE;

	if (status == STATUS_OK)
		status = duplicates_find(library->catalog, w.options.exact ? NULL : &library->row, &w.options, &w.found, &err);
	if (status == STATUS_OK)
		status = print(&w, library->catalog, &err);
	if (status == STATUS_OK && !w.found.group_count) {
		fprintf(cli->log, "coca: no photograph is there twice\n");
		code = EXIT_NO_RESULT;
	}
	duplicates_release(&w.found);
	free(w.in);
	return status == STATUS_OK ? code : cli_fail(cli, &err);
}

const struct command command_duplicates = {
	.name = "duplicates",
	.synopsis = "",
	.summary = "find photographs that are there more than once",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_duplicates,
	.needs = NEEDS_LIBRARY,
	.check = check,
	.run = run,
	.passive_threads = true,
};
