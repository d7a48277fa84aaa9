/* int8_kernel.h: the functions of one struct int8_kernel, written once for all instruction sets: int8_avx2.c and its like include it,
 * having defined
 *
 *     KERNEL(name)              the function's name in this instruction set
 *     TARGET                    the attribute that lets a function use it
 *     LANES                     32-bit numbers of a vector
 *     LEVELS                    of activations
 *     ROWS, PANELS              of a tile: ROWS * PANELS * INT8_PANEL / LANES parts stay in registers
 *     ints, floats              vectors
 *     INTS_LOAD(p), INTS_SPLAT(p)   splat: the 4 bytes at p in every lane
 *     GROUP(matrix, panel)      inputs whose products are added to one part:
 *     GROUP_START(sums, first), GROUP_ADD(part, x, w), GROUP_END(sums, part)   sums: in memory; first: nothing is in them; add: 4
 *                               products of unsigned by signed bytes in each lane
 *     WHOLE                     1: a block is one group, so that its parts are its sums
 *     FLOATS_OF(ints), FLOATS_LOAD(p), FLOATS_STORE(p, v), FLOATS_SPLAT(f)
 *
 * A tile of the result is ROWS rows by PANELS panels. Its weights, PANELS * DEPTH bytes * 16, stay in the first cache while
 * the rows pass; a matrix of more inputs than DEPTH is taken in blocks whose sums wait in `sums`.
 */
#include "model/math/int8.h"

#include <math.h>
#include <string.h>

#include "model/math/row_moments.h"

enum {
	KERNEL(DEPTH) = 1024,
	KERNEL(CHUNK) = 48 / ROWS * ROWS, /* rows whose sums wait */
	KERNEL(BLOCK) = 192 << 10, /* bytes of rows that pass all panels before the next ones come: they stay in the second cache */
	KERNEL(VECTORS) = INT8_PANEL / LANES, /* of a panel */
	KERNEL(WIDE) = INT8_PANEL * PANELS,
};

#include "model/math/int8_codes.h"
#include "model/math/int8_tile.h"

/* Rows start..end-1 by the panels from panel on, of which there are PANELS or fewer. */
static TARGET void KERNEL(strip)(const struct int8_product *p, size_t panel, size_t panels, size_t start, size_t end)
{
	const struct int8_matrix *m = p->matrix;
	int32_t sums[KERNEL(CHUNK) * KERNEL(WIDE)] __attribute__((aligned(64)));
	struct KERNEL(tile) tile = {.code_stride = m->depth, .panel_stride = m->depth * INT8_PANEL, .group = GROUP(m, panel), .panel = panel};
	const bool whole = WHOLE && (panel + panels) * INT8_PANEL <= m->out;

	for (size_t i = 1; i < panels; i++)
		tile.group = GROUP(m, panel + i) < tile.group ? GROUP(m, panel + i) : tile.group;
	if (!WHOLE)
		memset(sums, 0, (end - start) * KERNEL(WIDE) * sizeof *sums);
	for (size_t k = 0; k < m->depth; k += KERNEL(DEPTH)) {
		tile.depth = m->depth - k < KERNEL(DEPTH) ? m->depth - k : KERNEL(DEPTH);
		tile.weights = m->weights + panel * tile.panel_stride + k * INT8_PANEL;
		tile.first = k == 0;
		const bool last = k + tile.depth == m->depth;
		tile.finish = whole && last ? p : NULL;
		for (tile.row = start; tile.row < end; tile.row += ROWS) {
			size_t rows = end - tile.row < ROWS ? end - tile.row : ROWS;
			tile.codes = p->rows->codes + tile.row * m->depth + k;
			tile.sums = sums + (tile.row - start) * KERNEL(WIDE);
			KERNEL(any_tile)(&tile, rows, panels);
			/* At once: the next tile is computed while these results are on their way to memory. */
			for (size_t r = 0; r < rows && last && !whole; r++)
				for (size_t i = 0; i < panels; i++)
					KERNEL(finish)(p, tile.row + r, panel + i, tile.sums + r * KERNEL(WIDE) + i * INT8_PANEL);
		}
	}
}

static TARGET void KERNEL(multiply)(const struct int8_product *p, size_t from, size_t to)
{
	size_t chunks = KERNEL(BLOCK) / (KERNEL(CHUNK) * p->matrix->depth) + 1, rows = chunks * KERNEL(CHUNK);

	for (size_t block = 0; block < p->T; block += rows)
		for (size_t panel = from; panel < to; panel += PANELS)
			for (size_t start = block; start < p->T && start < block + rows; start += KERNEL(CHUNK))
				KERNEL(strip)(p, panel, to - panel < PANELS ? to - panel : PANELS, start,
					      p->T - start < KERNEL(CHUNK) ? p->T : start + KERNEL(CHUNK));
}
