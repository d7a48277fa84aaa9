/* answer_states.h: what the multimodal decoder makes of a question about an image, before it becomes logits: what heads that answer read.
 *
 *     question -> text tokens -> [self block -> cross block over the image tokens] * layers -> ln_final -> states
 */
#ifndef MODEL_NET_ANSWER_STATES_H
#define MODEL_NET_ANSWER_STATES_H

#include "model/net/coca.h"
#include "model/net/scratch.h"

/* states[count,W]: one for each id of the text, under one image's tokens[N,W]. */
enum status answer_states_make(const struct coca *model, struct coca_scratch *scratch, const float *tokens, const struct coca_text *text,
				float *states, struct err *err);

#endif
