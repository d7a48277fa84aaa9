/* answer_states.h: what the multimodal decoder makes of a question about an image, before it becomes logits: what heads that answer read.
 *
 *     question -> text tokens -> [self block -> cross block over the image tokens] * layers -> ln_final -> states
 */
#ifndef MODEL_NET_ANSWER_STATES_H
#define MODEL_NET_ANSWER_STATES_H

#include "model/net/coca.h"

/* states[count,W]: one for each id of the text, under one image's tokens[N,W]. */
enum status coca_decoder_states(const struct coca *model, struct coca_state *state, const float *tokens, const struct coca_text *text,
				float *states, struct err *err);

#endif
