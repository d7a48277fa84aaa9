/* state.h: train_state.bin, from which a run goes on as if it had never stopped.
 *
 * Little endian:
 *
 *     offset 0  "COCATRN\n"   8 version, u32   12 zero, u32   16 size of the file
 *     24 step   32 epoch   40 offset in the epoch   48 seed   56 digest of the data   64 digest of the configuration
 *     72 floats of a row   80 bytes of the note   (each u64)
 *     88 the note (how the run was started), then zeros to a multiple of 64
 *     rows of F32: values, first moments, second moments, averages, laid out as parameters.h has them
 *     XXH3-64 of all bytes before it, u64
 */
#ifndef MODEL_TRAIN_STATE_H
#define MODEL_TRAIN_STATE_H

#include "model/data/batches.h"
#include "model/train/parameters.h"

struct train_state {
	uint64_t step, seed, data;
	struct batches_place place;
	const char *note;
	size_t note_size;
};

/* Atomic: the old file stays until the new one is whole. */
enum status train_state_write(const char *path, const struct train_state *state, const struct parameters *p, struct err *err);

/* The note alone, to be freed by the caller; the file's checksum is verified. */
enum status train_state_note(const char *path, char **note, size_t *size, struct err *err);

/* Fills state (but for the note) and the rows of p. STATUS_FORMAT if the file is damaged or of another configuration. */
enum status train_state_read(const char *path, struct train_state *state, struct parameters *p, struct err *err);

#endif
