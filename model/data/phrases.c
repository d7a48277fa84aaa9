/* phrases.c: see phrases.h. */
#include "model/data/phrases.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "schema/base/random.h"
#include "model/words/words.h"

#include "schema/base/banned.h"

void phrases_release(struct phrases *c)
{
	prompts_release(&c->prompts);
	broader_release(&c->broader);
	buffer_release(&c->texts);
	free(c->list);
	free(c->ids);
	free(c->classes);
	*c = (struct phrases){0};
}

enum status phrases_prompts(struct phrases *c, const char *path, struct err *err)
{
	prompts_release(&c->prompts);
	return prompts_read(path, &c->prompts, err);
}

enum status phrases_broader(struct phrases *c, const char *path, struct err *err)
{
	broader_release(&c->broader);
	return broader_read(path, &c->broader, err);
}

bool phrases_add(struct phrases *c, const char *text, size_t size)
{
	bool sided = words_have(text, size, "left", false) || words_have(text, size, "right", false);

	if (!mem_grow(&c->list, &c->room, c->count + 1, sizeof *c->list))
		return false;
	c->list[c->count++] = (struct caption){.at = c->texts.size, .size = size, .sided = sided};
	buffer_append(&c->texts, text, size);
	buffer_append(&c->texts, "", 1);
	return !c->texts.failed;
}

/* ---- classes ---------------------------------------------------------------------------------------------------- */

/* The place of a class in the table: its own or an empty one. */
static struct class *class_at(const struct phrases *c, uint64_t key)
{
	size_t i = key & (c->class_room - 1);

	while (c->classes[i].key && c->classes[i].key != key)
		i = (i + 1) & (c->class_room - 1);
	return &c->classes[i];
}

/* Room for one more class; at most half of the table is taken. */
static bool grow_classes(struct phrases *c)
{
	if (2 * c->class_count < c->class_room)
		return true;
	struct phrases larger = {.class_room = c->class_room ? 2 * c->class_room : 1024};
	larger.classes = mem_array(larger.class_room, sizeof *larger.classes);
	if (!larger.classes)
		return false;
	for (size_t i = 0; i < c->class_room; i++)
		if (c->classes[i].key)
			*class_at(&larger, c->classes[i].key) = c->classes[i];
	free(c->classes);
	c->classes = larger.classes;
	c->class_room = larger.class_room;
	return true;
}

/* The captions of a class that was not seen before: names[count], of which the last ones are broader terms. */
static bool add_names(struct phrases *c, const char *const *names, size_t count)
{
	bool good = true;

	for (size_t n = 0; n < count && good; n++)
		good = phrases_add(c, names[n], strlen(names[n]));
	for (size_t p = 0; p < c->prompts.count && good; p++)
		for (size_t n = 0; n < count && good; n++) {
			char *text = prompts_fill(c->prompts.lines[p], prompts_name(names[n]));
			good = text && phrases_add(c, text, strlen(text));
			free(text);
		}
	return good;
}

/* Synonyms are one class wherever the usual name is the same, and broader terms one thing wherever they are. */
static void mark_captions(struct phrases *c, size_t first, const char *usual, size_t own, const struct broader_row *row)
{
	size_t all = own + (row ? row->count : 0);

	for (size_t i = first; i < c->count; i++) {
		size_t which = (i - first) % all;
		uint32_t term = which < own ? 0 : row->terms[which - own];
		const char *said = which < own ? usual : c->broader.terms[term];
		c->list[i].text = XXH3_64bits(said, strlen(said));
		c->list[i].says = which < own ? 0 : broader_bit(term);
	}
}

static bool add_class(struct phrases *c, const char *const *names, size_t count, struct class *class)
{
	const char *usual = prompts_name(names[0]);
	const struct broader_row *row = broader_find(&c->broader, usual);
	size_t broader = row ? row->count : 0, first = c->count;
	const char **all = mem_array(count + broader, sizeof *all);

	for (size_t n = 0; n < count + broader && all; n++)
		all[n] = n < count ? names[n] : c->broader.terms[row->terms[n - count]];
	bool good = all && add_names(c, all, count + broader);
	if (good)
		mark_captions(c, first, usual, count, row);
	class->first = first;
	class->broader_count = (uint32_t)broader;
	class->shows = broader_bits(row);
	free(all);
	return good;
}

bool phrases_class(struct phrases *c, const char *const *names, size_t count, const struct class **class)
{
	uint64_t key = 0;

	for (size_t n = 0; n < count; n++)
		key = random_keyed(key, XXH3_64bits(names[n], strlen(names[n])), n);
	key += key == 0;
	if (!grow_classes(c))
		return false;
	struct class *found = class_at(c, key);
	*class = found;
	if (found->key)
		return true;
	found->key = key;
	c->class_count++;
	return add_class(c, names, count, found);
}

/* ---- ids -------------------------------------------------------------------------------------------------------- */

enum status phrases_tokenise(struct phrases *c, const struct tokenizer *tokenizer, size_t context, struct err *err)
{
	for (size_t i = 0; i < c->count; i++) {
		struct caption *caption = &c->list[i];
		if (!mem_grow(&c->ids, &c->ids_room, c->ids_count + context, sizeof *c->ids))
			return err_memory(err, "the captions' ids");
		int32_t *ids = c->ids + c->ids_count;
		caption->ids_at = c->ids_count;
		caption->ids_count = tokenizer_encode(tokenizer, c->texts.data + caption->at, caption->size, ids, context);
		if (!caption->ids_count)
			return err_memory(err, "the captions' ids");
		c->ids_count += caption->ids_count;
		if (!caption->text)
			caption->text = XXH3_64bits(ids, caption->ids_count * sizeof *ids);
	}
	return STATUS_OK;
}
