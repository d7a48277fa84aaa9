/* samples.c: see samples.h. */
#include "model/data/samples.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { TABLE_MOST = 1 << 30 };

struct samples {
	struct shard *shard;      /* NULL: a table */
	size_t number;

	/* Of a table: */
	const char *path;
	bool bare;
	char *folder;             /* what its paths are relative to */
	char *bytes, *at, *end;   /* the whole of it; the next line */
	size_t line;              /* number of the last one */
	char *photo;              /* path of the sample */
	const char **texts;       /* [count]: in bytes */
	size_t *lines;            /* [count] */
	size_t count, texts_room, lines_room;
};

static enum status open_table(struct samples *s, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	size_t size;
	enum status status = file_read_text(path, TABLE_MOST, &s->bytes, &size, err);

	if (status != STATUS_OK)
		return status;
	s->at = s->bytes;
	s->end = s->bytes + size;
	s->path = path;
	s->folder = slash ? mem_copy(path, slash == path ? 1 : (size_t)(slash - path)) : mem_copy(".", 1);
	return s->folder ? STATUS_OK : err_memory(err, "a path");
}

enum status samples_open(const char *path, enum samples_kind kind, struct samples **samples, struct err *err)
{
	struct samples *s = mem_array(1, sizeof *s);

	*samples = NULL;
	if (!s)
		return err_memory(err, "samples");
	s->bare = kind == SAMPLES_BARE_TABLE;
	enum status status = kind == SAMPLES_SHARD ? shard_open(path, &s->shard, err) : open_table(s, path, err);
	if (status == STATUS_OK)
		*samples = s;
	else
		samples_close(s);
	return status;
}

void samples_close(struct samples *s)
{
	if (!s)
		return;
	shard_close(s->shard);
	free(s->folder);
	free(s->bytes);
	free(s->photo);
	free(s->texts);
	free(s->lines);
	free(s);
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

/* A piece of a line, without the white space at its ends. */
struct piece {
	char *text;
	size_t size;
};

static struct piece trim(char *text, size_t size)
{
	while (size && strchr(" \t\r", text[size - 1]))
		size--;
	while (size && strchr(" \t\r", *text)) {
		text++;
		size--;
	}
	return (struct piece){text, size};
}

static bool add_text(struct samples *s, struct piece text)
{
	if (!mem_grow(&s->texts, &s->texts_room, s->count + 1, sizeof *s->texts) ||
	    !mem_grow(&s->lines, &s->lines_room, s->count + 1, sizeof *s->lines))
		return false;
	text.text[text.size] = '\0';
	s->texts[s->count] = text.text;
	s->lines[s->count++] = s->line;
	return true;
}

static bool name_photo(struct samples *s, struct piece path)
{
	free(s->photo);
	path.text[path.size] = '\0';
	s->photo = *path.text == '/' ? mem_copy(path.text, path.size) : path_join(s->folder, path.text);
	return s->photo != NULL;
}

static enum status check_line(const struct samples *s, struct piece path, struct piece text, struct err *err)
{
	if (path.size && (text.size || s->bare))
		return STATUS_OK;
	if (s->bare)
		return err_set(err, STATUS_FORMAT, "line %zu of '%s' has no path", s->line, s->path);
	return err_set(err, STATUS_FORMAT, "cannot read '%s': line %zu is not PATH, tab, CAPTION", s->path, s->line);
}

/* Lines from the next one on, for as long as they have the same path. */
static enum status next_of_table(struct samples *s, struct sample *sample, struct err *err)
{
	struct piece own = {0};

	s->count = 0;
	while (s->at < s->end) {
		char *line = s->at, *feed = memchr(line, '\n', (size_t)(s->end - line)), *end = feed ? feed : s->end;
		char *tab = memchr(line, '\t', (size_t)(end - line)), *split = tab ? tab : end;
		struct piece path = trim(line, (size_t)(split - line)), text = trim(split, (size_t)(end - split));
		bool blank = !path.size && !text.size;
		if (!blank && own.size && (path.size != own.size || memcmp(path.text, own.text, own.size) != 0))
			break;
		s->line++;
		s->at = end + 1;
		if (blank)
			continue;
		enum status status = check_line(s, path, text, err);
		if (status != STATUS_OK)
			return status;
		if ((!own.size && !name_photo(s, path)) || (text.size && !add_text(s, text)))
			return err_memory(err, "samples");
		own = path;
	}
	*sample = (struct sample){.key = s->photo, .captions = s->texts, .caption_count = s->count};
	return own.size ? STATUS_OK : err_set(err, STATUS_NOT_FOUND, "no more lines in '%s'", s->path);
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

enum status samples_next(struct samples *s, struct sample *sample, struct err *err)
{
	s->number++;
	return s->shard ? shard_next(s->shard, sample, err) : next_of_table(s, sample, err);
}

size_t samples_number(const struct samples *s)
{
	return s->number;
}

size_t samples_line(const struct samples *s, size_t which)
{
	return s->lines[which];
}

size_t samples_skipped(const struct samples *s)
{
	return s->shard ? shard_skipped(s->shard) : 0;
}

bool samples_hold_out(size_t number, size_t every)
{
	return every && number % every == 0;
}
