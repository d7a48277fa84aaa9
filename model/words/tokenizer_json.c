/* tokenizer_json.c: reads the tokenizer.json of Hugging Face's library, as far as it says CLIP's encoding; refuses any other. */
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "model/words/vocabulary.h"

#include "schema/base/banned.h"

#define VOCAB_MOST ((size_t)1 << 24)

static const char *string_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
	return text ? text : "";
}

static int special_index(const char *name)
{
	if (strcmp(name, "<|startoftext|>") == 0 || strcmp(name, special_names[0]) == 0)
		return 0;
	if (strcmp(name, "<|endoftext|>") == 0 || strcmp(name, special_names[1]) == 0)
		return 1;
	return -1;
}

/* A whole number in 0 <= x < VOCAB_MOST, or -1. */
static int64_t id_of(const cJSON *item)
{
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < (double)VOCAB_MOST))
		return -1;
	int64_t id = (int64_t)item->valuedouble;
	return (double)id == item->valuedouble ? id : -1;
}

/* Enters one pair of model.vocab or added_tokens; taken[id] says which ids have been given. */
static enum status put_symbol(struct vocabulary *v, const char *name, const cJSON *number, bool *taken, char *scratch,
			      const char *path, struct err *err)
{
	int64_t id = id_of(number);
	int special = special_index(name);
	size_t length;
	bool ends_word;

	if (id < 0 || (size_t)id >= v->size)
		return err_set(err, STATUS_FORMAT, "cannot read '%s': the id of '%.80s' is not below the number of symbols", path, name);
	if (special >= 0) {
		if (taken[id] && v->special[special] != id)
			return err_set(err, STATUS_FORMAT, "cannot read '%s': '%.80s' has the id of another symbol", path, name);
		v->special[special] = (int32_t)id;
	} else {
		if (!symbol_parse(&v->alphabet, name, strlen(name), scratch, &length, &ends_word))
			return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': '%.80s' is no symbol of CLIP's byte-pair encoding",
				       path, name);
		int32_t there = *vocabulary_slot(v, scratch, length, ends_word);
		if (there == id) /* an added token that is in the vocabulary, such as the padding */
			return STATUS_OK;
		if (there >= 0 || taken[id])
			return err_set(err, STATUS_FORMAT, "cannot read '%s': '%.80s' has the id of another symbol", path, name);
		if (!vocabulary_put(v, (size_t)id, scratch, length, ends_word))
			return err_memory(err, "a tokenizer");
	}
	taken[id] = true;
	return STATUS_OK;
}

/* One of model.merges: "a b" or ["a","b"]. */
static enum status put_merge(struct vocabulary *v, const cJSON *item, size_t rank, char *scratch, const char *path, struct err *err)
{
	const char *left = NULL, *right = NULL;
	size_t left_size = 0;
	struct joined joined;
	int32_t id = -1;

	if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2) {
		left = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
		right = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
		left_size = left ? strlen(left) : 0;
	} else if (cJSON_IsString(item) && (right = strchr(item->valuestring, ' '))) {
		left = item->valuestring;
		left_size = (size_t)(right++ - left);
	}
	if (left && right && vocabulary_join(v, left, left_size, right, strlen(right), scratch, &joined))
		id = *vocabulary_slot(v, scratch, joined.size, joined.ends_word);
	if (id < 0)
		return err_set(err, STATUS_FORMAT, "cannot read '%s': merge %zu joins what is not in the vocabulary", path, rank + 1);
	vocabulary_put_merge(v, joined.left, joined.right, rank, id);
	return STATUS_OK;
}

/* Refuses what would not be CLIP's encoding. */
static enum status check_model(const cJSON *model, const char *path, struct err *err)
{
	const cJSON *type = cJSON_GetObjectItemCaseSensitive(model, "type");

	if (!cJSON_IsObject(model))
		return err_set(err, STATUS_FORMAT, "cannot read '%s': it has no \"model\"", path);
	if (type && strcmp(string_of(model, "type"), "BPE") != 0)
		return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': its model is '%.40s', only BPE is supported", path,
			       string_of(model, "type"));
	if (strcmp(string_of(model, "end_of_word_suffix"), END_OF_WORD) != 0)
		return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': its words do not end in '" END_OF_WORD "', so it is not CLIP's",
			       path);
	if (*string_of(model, "continuing_subword_prefix"))
		return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': it has a continuing_subword_prefix, so it is not CLIP's", path);
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(model, "ignore_merges")))
		return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': ignore_merges is not supported", path);
	return STATUS_OK;
}

/* Ids run from 0 to the largest one, and there are not fewer symbols than ids. */
static bool count_ids(const cJSON *vocab, const cJSON *added, size_t *n)
{
	const cJSON *item;
	int64_t largest = -1;
	size_t items = 0;

	cJSON_ArrayForEach(item, vocab) {
		largest = id_of(item) > largest ? id_of(item) : largest;
		items++;
	}
	cJSON_ArrayForEach(item, added) {
		int64_t id = id_of(cJSON_GetObjectItemCaseSensitive(item, "id"));
		largest = id > largest ? id : largest;
		items++;
	}
	*n = (size_t)(largest + 1);
	return *n <= items;
}

static enum status put_symbols(struct vocabulary *v, const cJSON *vocab, const cJSON *added, char *scratch, const char *path,
			       struct err *err)
{
	bool *taken = mem_array(v->size, sizeof *taken);
	enum status status = taken ? STATUS_OK : err_memory(err, "a tokenizer");
	const cJSON *item;

	v->special[0] = v->special[1] = -1;
	if (status == STATUS_OK)
		cJSON_ArrayForEach(item, vocab) {
			status = put_symbol(v, item->string, item, taken, scratch, path, err);
			if (status != STATUS_OK)
				goto out;
		}
	if (status == STATUS_OK)
		cJSON_ArrayForEach(item, added) {
			const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");
			status = put_symbol(v, string_of(item, "content"), id, taken, scratch, path, err);
			if (status != STATUS_OK)
				goto out;
		}
	for (size_t id = 0; id < v->size && status == STATUS_OK; id++)
		if (!taken[id])
			status = err_set(err, STATUS_FORMAT, "cannot read '%s': no symbol has the id %zu", path, id);
	if (status == STATUS_OK && (v->special[0] < 0 || v->special[1] < 0))
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': it has no start and end symbol", path);
	if (status == STATUS_OK && !vocabulary_find_bytes(v))
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': its vocabulary lacks symbols for single bytes", path);
out:
	free(taken);
	return status;
}

enum status vocabulary_read_json(struct vocabulary *v, const char *text, size_t size, size_t vocab_size, const char *path, struct err *err)
{
	cJSON *json = cJSON_ParseWithLength(text, size);
	const cJSON *model = cJSON_GetObjectItemCaseSensitive(json, "model");
	const cJSON *vocab = cJSON_GetObjectItemCaseSensitive(model, "vocab");
	const cJSON *merges = cJSON_GetObjectItemCaseSensitive(model, "merges");
	const cJSON *added = cJSON_GetObjectItemCaseSensitive(json, "added_tokens");
	const cJSON *item;
	char *scratch = NULL;
	size_t rank = 0, n;
	enum status status;

	if (!json) {
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': it is not valid JSON", path);
		goto out;
	}
	status = check_model(model, path, err);
	if (status != STATUS_OK)
		goto out;
	if (!cJSON_IsObject(vocab) || !cJSON_IsArray(merges)) {
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': its model lacks \"vocab\" or \"merges\"", path);
		goto out;
	}
	if (!count_ids(vocab, added, &n)) {
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': its ids have gaps", path);
		goto out;
	}
	if (vocab_size && n != vocab_size) {
		status = vocabulary_mismatch(path, n, vocab_size, err);
		goto out;
	}
	scratch = malloc(size + 1);
	status = scratch ? vocabulary_make(v, n, (size_t)cJSON_GetArraySize(merges), err) : err_memory(err, "a tokenizer");
	if (status == STATUS_OK)
		status = put_symbols(v, vocab, added, scratch, path, err);
	if (status != STATUS_OK)
		goto out;
	cJSON_ArrayForEach(item, merges) {
		status = put_merge(v, item, rank++, scratch, path, err);
		if (status != STATUS_OK)
			goto out;
	}
out:
	cJSON_Delete(json);
	free(scratch);
	return status;
}
