/* int8_stored.h: matrices that stand in 8 bits in a weights file: NAME as I8 codes [rows,columns] and NAME.scale [rows] in F32, which are
 * used as they are; making them again from the floats that they mean might choose others.
 *
 *     int8_stored_find(checkpoint, name, rows, columns, &stored, err);
 *     stored.codes ? int8_stored_pack(&stored, 0, &map, gain, &matrix, err) : int8_matrix_init(&matrix, &map, gain, err);
 */
#ifndef MODEL_NET_INT8_STORED_H
#define MODEL_NET_INT8_STORED_H

#include "model/files/checkpoint.h"
#include "model/math/int8.h"
#include "model/net/block.h"

struct int8_stored {
	const struct checkpoint *checkpoint;
	const char *name;
	const int8_t *codes;   /* [rows,columns]; NULL: the file has none */
	const void *scale;     /* float[rows], not aligned */
};

/* name stays the caller's and is used as long as stored. STATUS_FORMAT: of another shape, or without scales. */
enum status int8_stored_find(const struct checkpoint *checkpoint, const char *name, size_t rows, size_t columns, struct int8_stored *stored,
			     struct err *err);

/* A matrix of rows from..from+map->out-1; of map, bias and sizes are used. STATUS_FORMAT: a code that is out of range. */
enum status int8_stored_pack(const struct int8_stored *stored, size_t from, const struct linear *map, const float *gain,
			     struct int8_matrix *matrix, struct err *err);

/* A block's maps of qkv, out, fc and proj in floats; of a cross block qkv is the queries' alone. */
enum { INT8_BLOCK_MAPS = 4 };
void int8_block_maps(const struct block *block, const struct tower *tower, bool cross, struct linear maps[INT8_BLOCK_MAPS]);

/* A tower's blocks. The file (or NULL) names a map's matrix PREFIX.LAYER.NAME; what it does not hold in 8 bits is made. */
struct int8_tower {
	const struct checkpoint *checkpoint;
	const char *prefix;
	const char *const *names; /* [INT8_BLOCK_MAPS] */
	const struct block *blocks; /* [layers]; are not changed */
	const struct tower *tower;
	bool cross;
};
/* *made[layers] is the caller's. */
enum status int8_tower_new(const struct int8_tower *from, struct int8_block **made, struct err *err);
void int8_tower_free(struct int8_block *made, const struct tower *tower); /* takes NULL */

#endif
