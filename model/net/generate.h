/* generate.h: captions from image tokens, greedy or by beam search, with cached keys and values.
 *
 * Both start with the start id and stop at the end id or after C ids. Beam search keeps the captions with the highest
 * sum of log-likelihoods divided by (ids behind the start)^length_power.
 */
#ifndef MODEL_NET_GENERATE_H
#define MODEL_NET_GENERATE_H

#include "model/net/coca.h"
#include "model/net/scratch.h"

struct caption {
	int32_t *ids;          /* [count]: start first; the end id last unless C cut it off */
	size_t count;
	float likelihood;      /* sum of log p over all ids behind the start; coca_likelihood leaves out an id 0 inside */
};

/* captions[B], one for each image; ids are freed by captions_release. start and end: the tokenizer's.
 * most: ids at most, start and end included; 0 means C. */
enum status generate_greedy(const struct coca *model, struct coca_scratch *scratch, const float *tokens /* [B,N,W] */, size_t B,
			    int32_t start, int32_t end, size_t most, struct caption *captions, struct err *err);

/* captions[B * beams], best first for each image; a caption with count 0 fills up where fewer were found. */
enum status generate_beams(const struct coca *model, struct coca_scratch *scratch, const float *tokens /* [B,N,W] */, size_t B,
			   int32_t start, int32_t end, size_t most, size_t beams, float length_power, struct caption *captions,
			   struct err *err);

void captions_release(struct caption *captions, size_t n);

#endif
