/* compose.h: a query as a sum of words and photographs, each with a weight, added or subtracted.
 *
 *     coca search beach + 2:sunset - people --add ./photo.jpg
 *
 *     compose_parse(words, count, &terms, &query, err);
 *     compose_embed(&library, &query, embedding, notices, err);
 *     compose_release(&query);
 *
 * The embedding is the normalised sum of weight x unit embedding, as rclip's users know it. For words among photographs, how a value is
 * read (the first rule that fits):
 *   1. W:VALUE has the weight W, a number above 0, unless the whole names a file; a digit behind the colon makes it a time, 10:30.
 *   2. text:VALUE is words, photo:VALUE is a photograph, whatever else would fit.
 *   3. What starts with /, ./ or ../, or ends as pictures do (.jpg, .png, ...) and has no space, is a photograph, and must be there.
 *   4. A value of --add and --sub that names a file is a photograph: guessed says so, as it may have been meant as a word.
 *   5. All else is words.
 */
#ifndef QUERY_ASK_COMPOSE_H
#define QUERY_ASK_COMPOSE_H

#include <stdbool.h>
#include <stddef.h>

#include "query/session/library.h"
#include "schema/cli/options.h"

struct term {
	char *value;     /* words, or a path; ours */
	bool photo;
	bool guessed;    /* rule 4 */
	double weight;   /* negative: subtracted */
	double share;    /* weight over the length of the sum: the term's part in the similarity; set by compose_embed */
	bool cut;        /* words longer than the model's context; set by compose_embed */
};

/* Of the options --add and --sub: TERM_OPTIONS(struct options, terms), a struct option_list. */
enum term_option { TERM_ADD, TERM_SUB };

#define TERM_OPTIONS(type, member)                                                                                      \
	OPTION_LIST(type, member, "add", 0, "X", OPTION_MANY | OPTION_FILE, TERM_ADD,                                   \
		    "add words or a photo to the query, with a weight if X is 2:words or 2:FILE"),                      \
	OPTION_LIST(type, member, "sub", 0, "X", OPTION_MANY | OPTION_FILE, TERM_SUB, "subtract words or a photo")

struct composition {
	struct term *terms;
	size_t count;
};

/* The words joined by a space, white space at both ends left out; the caller's to free. STATUS_USAGE when nothing is left. */
enum status compose_words(const char *const *words, size_t count, const char *what, char **text, struct err *err);
/* The words, in which + and - on their own add and subtract what follows, then --add and --sub in the order given. STATUS_USAGE
 * for a term that is empty, and for a query that only subtracts. */
enum status compose_parse(const char *const *words, size_t count, const struct option_list *terms, struct composition *query,
			  struct err *err);
enum status compose_photo(const char *path, struct composition *query, struct err *err); /* that photograph alone */
void compose_release(struct composition *query);

/* "beach + 2:sunset - people + ./photo.jpg"; the caller's to free, NULL when out of memory. */
char *compose_title(const struct composition *query);

/* embedding: [E]. A photograph that is indexed has its stored embedding, found by content; another is encoded now. STATUS_USAGE if
 * the terms cancel each other out. */
enum status compose_embed(struct library *library, struct composition *query, float *embedding, struct err *err);

/* Likelihoods are added like similarities: each text with its share. weight[k] of composition_texts() texts, and which term each is.
 * Subtracted words are left out: see compose.c. */
size_t compose_texts(const struct composition *query, size_t *terms /* [count] */, double *weights /* [count] */);

#endif
