/* shards.c: see shards.h. */
#include "schema/base/shards.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/memory.h"
#include "schema/base/tar.h"

#include "schema/base/banned.h"

#define MEMBER_MOST ((size_t)1 << 30)   /* of a photograph */
#define TEXT_MOST ((size_t)16 << 20)    /* of a txt */

enum kind { KIND_OTHER, KIND_IMAGE, KIND_TEXT };

struct shard {
	struct tar *tar;
	struct tar_member next; /* that belongs to a sample and was not read yet; without a name: none is left */
	enum kind kind;         /* its */
	size_t key_size;        /* of its name: up to the first dot of the last component */
	size_t skipped;

	struct buffer key, image, text;
	const char **captions;
	size_t caption_count;
};

/* ---- members ------------------------------------------------------------------------------------------------------ */

/* Splits at the first dot of the last component and says what the member is to us. */
static enum kind member_kind(const char *name, size_t *key_size)
{
	const char *slash = strrchr(name, '/');
	const char *last = slash ? slash + 1 : name;
	const char *dot = strchr(last, '.');

	if (!dot || dot == last) /* no extension, or a hidden file such as macOS's "._000001.jpg" */
		return KIND_OTHER;
	*key_size = (size_t)(dot - name);
	if (strcasecmp(dot, ".txt") == 0)
		return KIND_TEXT;
	if (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".webp") == 0)
		return KIND_IMAGE;
	return KIND_OTHER;
}

/* The next photograph or text. */
static enum status next_member(struct shard *shard, struct err *err)
{
	enum status status;

	do {
		status = tar_next(shard->tar, &shard->next, err);
		if (status == STATUS_OK && shard->next.name)
			shard->kind = member_kind(shard->next.name, &shard->key_size);
	} while (status == STATUS_OK && shard->next.name && shard->kind == KIND_OTHER);
	return status;
}

/* ---- samples ------------------------------------------------------------------------------------------------------ */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts shard->text into lines; captions point into it. */
static enum status split_captions(struct shard *shard, struct err *err)
{
	size_t lines = 1;

	shard->caption_count = 0;
	if (!shard->text.size)
		return STATUS_OK;
	char *text = shard->text.data, *end = text + shard->text.size;
	if (shard->text.size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	for (char *p = text; p < end; p++)
		lines += *p == '\n';
	const char **captions = mem_resize(shard->captions, lines, sizeof *captions);
	if (!captions)
		return err_memory(err, "captions");
	shard->captions = captions;
	while (text < end) {
		char *line_end = memchr(text, '\n', (size_t)(end - text));
		char *next = line_end ? line_end + 1 : end;
		if (!line_end)
			line_end = end;
		while (text < line_end && is_space(*text))
			text++;
		while (line_end > text && is_space(line_end[-1]))
			line_end--;
		if (line_end > text) {
			*line_end = '\0'; /* at most the NUL behind the buffer */
			captions[shard->caption_count++] = text;
		}
		text = next;
	}
	return STATUS_OK;
}

static enum status read_member(struct shard *shard, struct buffer *to, size_t most, struct err *err)
{
	if (shard->next.size > most)
		return err_set(err, STATUS_MEMORY, "cannot read '%s': its member '%s' has %llu bytes, the limit is %zu",
			       tar_path(shard->tar), shard->next.name, (unsigned long long)shard->next.size, most);
	to->size = 0;
	return tar_read(shard->tar, to, err);
}

/* Reads the members of one key. A second image is not used; the same extension again begins another sample, as it does
 * where archives were joined. */
static enum status read_sample(struct shard *shard, bool *has_image, bool *has_text, struct err *err)
{
	enum status status = STATUS_OK;
	const struct tar_member *m = &shard->next;
	struct buffer image_name = {0};

	*has_image = *has_text = false;
	shard->text.size = 0;
	buffer_release(&shard->key);
	buffer_append(&shard->key, m->name, shard->key_size);
	while (status == STATUS_OK && m->name && shard->key_size == shard->key.size &&
	       memcmp(m->name, shard->key.data, shard->key_size) == 0) {
		if (shard->kind == KIND_TEXT) {
			if (*has_text)
				break;
			*has_text = true;
			status = read_member(shard, &shard->text, TEXT_MOST, err);
		} else if (!*has_image) {
			*has_image = true;
			buffer_text(&image_name, m->name);
			status = image_name.failed ? err_memory(err, "a member's name")
						   : read_member(shard, &shard->image, MEMBER_MOST, err);
		} else if (strcmp(image_name.data, m->name) == 0) {
			break;
		}
		if (status == STATUS_OK)
			status = next_member(shard, err);
	}
	if (status == STATUS_OK && shard->key.failed)
		status = err_memory(err, "a member's name");
	buffer_release(&image_name);
	return status;
}

enum status shard_open(const char *path, struct shard **shard, struct err *err)
{
	struct shard *s = mem_array(1, sizeof *s);
	enum status status = s ? tar_open(path, &s->tar, err) : err_memory(err, "a shard");

	*shard = NULL;
	if (status == STATUS_OK)
		status = next_member(s, err);
	if (status == STATUS_OK)
		*shard = s;
	else
		shard_close(s);
	return status;
}

enum status shard_next(struct shard *shard, struct sample *sample, struct err *err)
{
	bool has_image, has_text;

	*sample = (struct sample){0};
	while (shard->next.name) {
		enum status status = read_sample(shard, &has_image, &has_text, err);
		if (status == STATUS_OK)
			status = split_captions(shard, err);
		if (status != STATUS_OK) {
			shard->next.name = NULL; /* nothing can follow what could not be read */
			return status;
		}
		if (has_image && shard->image.size && shard->caption_count) {
			*sample = (struct sample){shard->key.data, (const uint8_t *)shard->image.data, shard->image.size, shard->captions,
						  shard->caption_count};
			return STATUS_OK;
		}
		shard->skipped++;
	}
	return err_set(err, STATUS_NOT_FOUND, "no more samples in '%s'", tar_path(shard->tar));
}

size_t shard_skipped(const struct shard *shard)
{
	return shard->skipped;
}

void shard_close(struct shard *shard)
{
	if (!shard)
		return;
	tar_close(shard->tar);
	buffer_release(&shard->key);
	buffer_release(&shard->image);
	buffer_release(&shard->text);
	free(shard->captions);
	free(shard);
}
