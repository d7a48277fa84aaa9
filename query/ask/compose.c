/* compose.c: see compose.h.
 *
 * Which likelihoods rerank: similarity of the sum is the sum of each term's similarity times its share, and both are log-probabilities
 * up to a constant (score.h), so the likelihoods of the words are added with the same shares. Subtracted words are left out: a
 * likelihood has no floor, so that subtracting it would reward photos for whatever makes any wording unlikely, and it gains nothing.
 * Measured with the shipped model on the 2,481 photos of flickr8k_subset and coco_like_2k, 40 pairs of words each, relevant being
 * the photos whose captions have A and not B (A - 0.5:B), or both (A + B), as average precision at 50 in percent: without
 * reranking 2.11 and 0.48; added words 2.13 and 0.52; subtracted ones, too, 2.17 (0.04 more, with a standard error of 0.04).
 * Two captions of a photo added, 300 photos: recall at 1, 5, 10, 20 is 2.7, 7.3, 12.7, 18.3 without reranking, 1.3, 8.3, 12.0, 18.0
 * with (4, 3, 2 and 1 photos of 300 apart); shares scaled to a sum of 1 make no difference. A better model has to decide.
 */
#include "query/ask/compose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/image/image.h"
#include "query/session/tokens.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* A sum shorter than this part of its weights is rounding (stored embeddings are F16), not a direction. */
static const double CANCELLED = 2e-3;

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static const char blanks[] = " \t\n\v\f\r";

enum status compose_words(const char *const *words, size_t count, const char *what, char **text, struct err *err)
{
	struct buffer joined = {0};
	size_t begin = 0, end;

	*text = NULL;
	for (size_t i = 0; i < count; i++) {
		if (i)
			buffer_text(&joined, " ");
		buffer_text(&joined, words[i]);
	}
	if (joined.failed) {
		buffer_release(&joined);
		return err_memory(err, what);
	}
	for (end = joined.size; end > 0 && strchr(blanks, joined.data[end - 1]);)
		end--;
	while (begin < end && strchr(blanks, joined.data[begin]))
		begin++;
	if (begin == end) {
		buffer_release(&joined);
		return err_set(err, STATUS_USAGE, "the %s is empty", what);
	}
	*text = mem_copy(joined.data + begin, end - begin);
	buffer_release(&joined);
	return *text ? STATUS_OK : err_memory(err, what);
}

static bool is_file(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool looks_like_path(const char *value)
{
	if (value[0] == '/' || strncmp(value, "./", 2) == 0 || strncmp(value, "../", 3) == 0)
		return true;
	return image_named(value) && !strchr(value, ' ');
}

static const char *after(const char *value, const char *prefix)
{
	size_t n = strlen(prefix);
	return strncmp(value, prefix, n) == 0 ? value + n : NULL;
}

/* "2:", "0.5:": moves *value behind it. */
static double take_weight(const char **value)
{
	const char *at = *value;
	char *end;

	at += strspn(at, "0123456789.");
	if (at == *value || *at != ':' || (at[1] >= '0' && at[1] <= '9'))
		return 1;
	double weight = strtod(*value, &end);
	if (end != at)
		return 1;
	*value = at + 1;
	return weight;
}

static enum status add_term(struct composition *query, const char *value, double sign, bool option, struct err *err)
{
	struct term term = {.weight = sign};
	const char *rest = value, *forced;

	if (!is_file(value))
		term.weight *= take_weight(&rest);
	if (!(fabs(term.weight) > 0) || !isfinite(term.weight))
		return err_set(err, STATUS_USAGE, "'%s': a weight is a number above 0", value);
	if ((forced = after(rest, "text:"))) {
		rest = forced;
	} else if ((forced = after(rest, "photo:"))) {
		rest = forced;
		term.photo = true;
	} else if (looks_like_path(rest)) {
		term.photo = true;
	} else if (option && is_file(rest)) {
		term.photo = term.guessed = true;
	}
	if (term.photo) {
		if (!is_file(rest))
			return err_set(err, STATUS_USAGE, "there is no photograph '%s'; hint: text:%s searches for words", rest, rest);
		term.value = mem_copy(rest, strlen(rest));
	} else {
		enum status status = compose_words(&rest, 1, "query", &term.value, err);
		if (status != STATUS_OK)
			return status;
	}
	struct term *terms = mem_resize(query->terms, query->count + 1, sizeof *terms);
	if (!terms || !term.value) {
		free(term.value);
		query->terms = terms ? terms : query->terms;
		return err_memory(err, "the query");
	}
	query->terms = terms;
	terms[query->count++] = term;
	return STATUS_OK;
}

static bool is_sign(const char *word)
{
	return strcmp(word, "+") == 0 || strcmp(word, "-") == 0;
}

/* The words from one sign to the next are one term. */
static enum status add_words(struct composition *query, const char *const *words, size_t count, struct err *err)
{
	enum status status = STATUS_OK;
	double sign = 1;

	for (size_t at = 0, n; at < count && status == STATUS_OK; at += n + 1) {
		char *joined;
		for (n = 0; at + n < count && !is_sign(words[at + n]);)
			n++;
		if (at == 0 && n == 0 && is_sign(words[0])) {
			sign = words[0][0] == '-' ? -1 : 1;
			continue;
		}
		status = compose_words(words + at, n, "query", &joined, err);
		if (status != STATUS_OK)
			break;
		status = add_term(query, joined, sign, false, err);
		free(joined);
		if (at + n < count)
			sign = words[at + n][0] == '-' ? -1 : 1;
		if (at + n + 1 == count && status == STATUS_OK)
			status = err_set(err, STATUS_USAGE, "nothing follows the last '%s'", words[at + n]);
	}
	return status;
}

enum status compose_parse(const char *const *words, size_t count, const struct option_list *terms, struct composition *query,
			  struct err *err)
{
	bool adds = false;

	*query = (struct composition){0};
	enum status status = add_words(query, words, count, err);
	for (size_t i = 0; i < terms->count && status == STATUS_OK; i++)
		status = add_term(query, terms->items[i].value, terms->items[i].tag == TERM_ADD ? 1 : -1, true, err);
	for (size_t i = 0; i < query->count; i++)
		adds = adds || query->terms[i].weight > 0;
	if (status == STATUS_OK && query->count == 0)
		status = err_set(err, STATUS_USAGE, "the query is empty");
	else if (status == STATUS_OK && !adds)
		status = err_set(err, STATUS_USAGE, "the query only subtracts; hint: say what to find, too");
	if (status != STATUS_OK)
		compose_release(query);
	return status;
}

enum status compose_photo(const char *path, struct composition *query, struct err *err)
{
	struct term term = {.value = mem_copy(path, strlen(path)), .photo = true, .weight = 1};

	*query = (struct composition){mem_array(1, sizeof term), 1};
	if (!query->terms || !term.value) {
		free(term.value);
		query->count = 0;
		return err_memory(err, "the query");
	}
	query->terms[0] = term;
	return STATUS_OK;
}

void compose_release(struct composition *query)
{
	for (size_t i = 0; i < query->count; i++)
		free(query->terms[i].value);
	free(query->terms);
	*query = (struct composition){0};
}

char *compose_title(const struct composition *query)
{
	struct buffer title = {0};

	for (size_t i = 0; i < query->count; i++) {
		const struct term *t = &query->terms[i];
		if (i || t->weight < 0)
			buffer_text(&title, t->weight < 0 ? i ? " - " : "- " : " + ");
		if (fabs(t->weight) != 1)
			buffer_format(&title, "%g:", fabs(t->weight));
		buffer_text(&title, t->value);
	}
	if (title.failed)
		buffer_release(&title);
	return title.data;
}

/* ---- embedding -------------------------------------------------------------------------------------------------- */

enum status compose_embed(struct library *library, struct composition *query, float *embedding, struct err *err)
{
	size_t dim = library->engine.embed;
	float *one = mem_floats(dim);
	double *sum = mem_array(dim, sizeof *sum), weights = 0, square = 0;
	enum status status = one && sum ? STATUS_OK : err_memory(err, "an embedding");

	for (size_t i = 0; i < query->count && status == STATUS_OK; i++) {
		struct term *t = &query->terms[i];
		int64_t content;
		status = t->photo ? tokens_of_file(library, t->value, TOKENS_IMAGE, NULL, one, &content, err)
				  : library_embed_text(library, t->value, strlen(t->value), one, &t->cut, err);
		/* A stored embedding has a rounded length. */
		double length = status == STATUS_OK ? sqrt(engine_dot(one, one, dim)) : 0;
		for (size_t d = 0; length > 0 && d < dim; d++)
			sum[d] += t->weight * (double)one[d] / length;
		weights += fabs(t->weight);
	}
	for (size_t d = 0; status == STATUS_OK && d < dim; d++)
		square += sum[d] * sum[d];
	double length = sqrt(square);
	if (status == STATUS_OK && length <= CANCELLED * weights)
		status = err_set(err, STATUS_USAGE, "the query cancels itself out: what is added is what is subtracted");
	if (status == STATUS_OK) {
		for (size_t d = 0; d < dim; d++)
			embedding[d] = (float)(sum[d] / length);
		for (size_t i = 0; i < query->count; i++)
			query->terms[i].share = query->terms[i].weight / length;
	}
	free(one);
	free(sum);
	return status;
}

size_t compose_texts(const struct composition *query, size_t *terms, double *weights)
{
	size_t n = 0;

	for (size_t i = 0; i < query->count; i++)
		if (!query->terms[i].photo && query->terms[i].weight > 0) {
			terms[n] = i;
			weights[n++] = query->terms[i].share;
		}
	return n;
}
