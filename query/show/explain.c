/* explain.c: see explain.h. */
#include "query/show/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/show/format.h"
#include "schema/base/json.h"

#include "schema/base/banned.h"

/* ---- words ------------------------------------------------------------------------------------------------------ */

static enum status add_word(struct explanation *why, const char *text, size_t size, struct explained_word word, struct err *err)
{
	if (why->word_count == why->room) {
		size_t room = why->room ? 2 * why->room : 16;
		struct explained_word *words = mem_resize(why->words, room, sizeof *words);
		if (!words)
			return err_memory(err, "an explanation");
		why->words = words;
		why->room = room;
	}
	word.text = mem_copy(text, size);
	if (!word.text)
		return err_memory(err, "an explanation");
	why->words[why->word_count++] = word;
	return STATUS_OK;
}

/* A decoder says nothing of where words end, but it puts a space before the next: the text of one id more shows it. */
enum status explain_words(const struct tokenizer *tokenizer, struct coca_text text, size_t term, struct explanation *why, struct err *err)
{
	size_t from = 0, first = 0, ids = text.count >= 2 ? text.count - 2 : 0;
	char *all = tokenizer_decode(tokenizer, text.ids + 1, ids);
	enum status status = all ? STATUS_OK : err_memory(err, "an explanation");

	for (size_t n = 1; n <= ids && status == STATUS_OK; n++) {
		char *part = tokenizer_decode(tokenizer, text.ids + 1, n);
		size_t size = part ? strlen(part) : 0;
		free(part);
		if (!part) {
			status = err_memory(err, "an explanation");
		} else if (n == ids || all[size] == ' ') {
			status = add_word(why, all + from, size - from, (struct explained_word){.term = term, .first = first, .count = n - first}, err);
			from = size + (all[size] == ' ');
			first = n;
		}
	}
	if (status == STATUS_OK)
		status = add_word(why, "(end)", 5, (struct explained_word){.term = term, .first = ids, .count = 1}, err);
	free(all);
	return status;
}

static double sum_of(const struct explanation *why, const struct explained_word *word, size_t slot)
{
	const struct reranker *r = why->reranker;
	const float *each = r->each + (slot * r->text_count + word->term) * why->terms;
	double sum = 0;

	for (size_t i = word->first; i < word->first + word->count && i < why->terms; i++)
		sum += (double)each[i];
	return r->weights[word->term] * sum;
}

double explain_word(const struct explanation *why, const struct explained_word *word, size_t slot)
{
	return sum_of(why, word, slot) - word->mean;
}

enum status explain_open(const struct background *background, const struct reranker *reranker, const struct candidate *candidates,
			 size_t count, struct explanation *why, struct err *err)
{
	enum status status = STATUS_OK;
	size_t n = 0;

	*why = (struct explanation){.background = background, .reranker = reranker};
	if (!reranker)
		return STATUS_OK;
	why->terms = coca_config(reranker->engine->model)->context_length - 1;
	for (size_t k = 0; k < reranker->text_count && status == STATUS_OK; k++)
		status = explain_words(coca_tokenizer(reranker->engine->model), reranker->texts[k], k, why, err);
	for (size_t i = 0; i < count; i++)
		n += candidates[i].reranked;
	for (size_t w = 0; w < why->word_count; w++)
		for (size_t i = 0; i < count; i++)
			if (candidates[i].reranked)
				why->words[w].mean += sum_of(why, &why->words[w], candidates[i].slot) / (double)n;
	if (status != STATUS_OK)
		explain_release(why);
	return status;
}

void explain_release(struct explanation *why)
{
	for (size_t i = 0; i < why->word_count; i++)
		free(why->words[i].text);
	free(why->words);
	*why = (struct explanation){0};
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

void explain_text(const struct explanation *why, const struct result *r, struct buffer *out)
{
	double z = background_z(why->background, (double)r->similarity);

	buffer_format(out, "       similarity %.4f", (double)r->similarity);
	if (!isnan(z))
		buffer_format(out, " (z %+.1f)", z);
	if (r->text)
		buffer_format(out, ", lifted by its text, similarity %.4f", (double)r->text_similarity);
	buffer_format(out, ", number %zu by similarity alone", r->slot + 1);
	if (!why->reranker) {
		buffer_text(out, "\n");
		return;
	}
	if (!r->reranked) {
		buffer_text(out, "; not reranked\n");
		return;
	}
	buffer_format(out, ", %zu with the likelihood %.2f\n       words:", r->rank, (double)r->likelihood);
	for (size_t w = 0; w < why->word_count; w++) {
		buffer_text(out, w && why->words[w].term != why->words[w - 1].term ? " |" : "");
		buffer_text(out, "  ");
		format_visible(why->words[w].text, strlen(why->words[w].text), out);
		buffer_format(out, " %+.2f", explain_word(why, &why->words[w], r->slot));
	}
	buffer_text(out, "\n");
}

void explain_json(const struct explanation *why, const struct result *r, struct buffer *out)
{
	bool words = why->reranker && r->reranked;

	buffer_text(out, ",\"explain\":{\"similarity_z\":");
	json_number(out, background_z(why->background, (double)r->similarity));
	buffer_format(out, ",\"rank_by_similarity\":%zu,\"trust\":", r->slot + 1);
	json_number(out, why->background->likelihoods ? why->background->trust : NAN);
	buffer_text(out, ",\"words\":");
	if (!words)
		buffer_text(out, "null");
	for (size_t w = 0; words && w < why->word_count; w++) {
		const struct explained_word *word = &why->words[w];
		buffer_format(out, "%s{\"word\":", w ? "," : "[");
		json_string(out, word->text, strlen(word->text));
		buffer_format(out, ",\"term\":%zu,\"logprob\":", word->term);
		json_number(out, sum_of(why, word, r->slot));
		buffer_text(out, ",\"above_mean\":");
		json_number(out, explain_word(why, word, r->slot));
		buffer_text(out, "}");
	}
	buffer_text(out, words ? "]}" : "}");
}
