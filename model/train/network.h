/* network.h: a whole CoCa as training runs it: one forward for both losses, one backward.
 *
 *     network_new(&config, &network, err);
 *     network_forward(network, &weights, &batch, NETWORK_BOTH, err);
 *     ... loss_contrastive over network_image_features and network_text_features of all parts of the batch ...
 *     network_backward(network, &weights, &gradients, dimage, dtext, caption_weight, &caption_sum, err);
 *
 *     pixels -> patches, class -> ln_pre -> blocks -> poolers, ln_post -> features
 *                                                                      \-> image tokens --------v
 *     ids -> embedding, class -> causal blocks -> ln_final of the class -> features           cross
 *                                              \-> text tokens -> (causal block, cross block)* -> ln_final -> cross entropy
 *
 * Texts lie one after another without padding: of a text of n ids the positions 0..n and the class embedding's are all that
 * can matter (position n, the first padding, is a key of the class, by the published checkpoints' mask), and of the
 * decoder's positions those that have a label. The result is the same as with padding to C.
 *
 * Letters: B samples, E embedding.
 */
#ifndef MODEL_TRAIN_NETWORK_H
#define MODEL_TRAIN_NETWORK_H

#include <stddef.h>

#include "model/data/batch.h"
#include "model/files/config.h"
#include "model/files/weights.h"
#include "schema/base/status.h"

struct network;

enum network_want { NETWORK_CONTRASTIVE = 1, NETWORK_CAPTION = 2, NETWORK_BOTH = 3 };

enum status network_new(const struct config *config, struct network **network, struct err *err);
void network_free(struct network *network); /* takes NULL */

/* How many ids of the batch are labels of the caption loss: those behind the start that are not 0. */
size_t network_counted(const struct batch_inputs *batch);

/* Runs both towers and, for NETWORK_CAPTION, the decoder up to its last norm. The batch must live until the backward. */
enum status network_forward(struct network *network, const struct weights *weights, const struct batch_inputs *batch,
			    enum network_want want, struct err *err);

size_t network_embed_dim(const struct network *network);
/* [B,E] before normalisation; valid until the next forward. */
const float *network_image_features(const struct network *network);
const float *network_text_features(const struct network *network);

/* Adds to gradients, whose pointers are NULL where a parameter is frozen: parts below the lowest trained one are not computed.
 * dimage, dtext[B,E]: the contrastive loss's (not looked at without NETWORK_CONTRASTIVE). caption_weight: of each label.
 * gradients NULL: only *caption_sum, the unweighted sum of -log p over the labels. */
void network_backward(struct network *network, const struct weights *weights, const struct weights *gradients, const float *dimage,
		      const float *dtext, float caption_weight, double *caption_sum);

/* Bytes that activations took at most. */
size_t network_memory(const struct network *network);

#endif
