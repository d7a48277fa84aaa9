/* weights_load.h: a checkpoint's tensors become the weights of a configuration.
 *
 *     weights_init(&weights, &config, err);
 *     weights_load(&weights, &config, checkpoint, &storage, err);
 *     weights_make(storage, WEIGHTS_IMAGE);                        // before the image encoder's are read
 */
#ifndef MODEL_FILES_WEIGHTS_LOAD_H
#define MODEL_FILES_WEIGHTS_LOAD_H

#include "model/files/weights.h"

/* What a model is used by: whoever searches for words needs no image encoder. */
enum weights_part { WEIGHTS_TEXT, WEIGHTS_IMAGE, WEIGHTS_DECODER, WEIGHTS_PARTS };

/* Where parameters lie that a checkpoint holds in another form than aligned F32. */
struct weights_storage;

/* Points every slot (after weights_init) to its parameter and links. F32 tensors that lie aligned stay where they are, in
 * the checkpoint's read-only mapping, which must outlive the weights and the storage; all others have a place in the storage,
 * and are there only after weights_make of their part; the logit scale is there at once. A parameter that is missing, of another
 * shape or no number, and a tensor that is none of the model's, is an error that names it; the buffers attn_mask and position_ids
 * and the matrices of decoder_int8.h are passed over. */
enum status weights_load(struct weights *weights, const struct config *config, const struct checkpoint *checkpoint,
			 struct weights_storage **storage, struct err *err);
void weights_storage_free(struct weights_storage *storage); /* takes NULL */

/* Converts what of a part is not there yet. Threads may call it at the same time: all return when the part is there. */
void weights_make(struct weights_storage *storage, enum weights_part part);
/* Whether nothing of a part remains to be converted. */
bool weights_made(struct weights_storage *storage, enum weights_part part);

#endif
