/* result.h: results as text for people, as JSON Lines, or as paths that end in NUL.
 *
 * JSON, one object a line: rank, path, score, match, similarity, caption_logprob, found_by ("pixels", or "text": then text and
 * text_similarity are those of the text that found it, find/by_text.h), width, height, taken_at, latitude, longitude, camera, lens, format,
 * missing; explain (explain.h) where that was asked for. What is not known is null. taken_at is local time,
 * "2024-05-31T18:30:00", with "+02:00" where the offset is known. A byte of a path that is not UTF-8 is written as schema/base/json.h says,
 * so that the path can be had back.
 * Text: rank, score, match in percent where it is known, path, the text that found it in brackets; control characters in a path come as \xNN.
 */
#ifndef QUERY_SHOW_RESULT_H
#define QUERY_SHOW_RESULT_H

#include "query/find/search.h"
#include "query/show/format.h"

/* The i-th of the results. */
void result_format(const struct results *results, size_t i, enum format format, struct buffer *out);

#endif
