/* int8_tile.h: the part of int8_kernel.h that multiplies: a tile of the result, ROWS rows by PANELS panels, or what of it is left over at
 * an edge. */

/* A tile's place in one product. */
struct KERNEL(tile) {
	const uint8_t *codes;   /* of the first row, at the block's first input */
	const int8_t *weights;  /* of the first panel, likewise */
	size_t code_stride, panel_stride;
	size_t depth;           /* inputs of the block */
	size_t group;           /* of the panels, the least */
	int32_t *sums;          /* [rows, WIDE] */
	bool first;             /* block */
	const struct int8_product *finish; /* not NULL: the last block, whose sums go into the result from where they are */
	size_t row, panel;      /* the tile's first */
};

/* y = or += scale * sum * weights' scale + offset * weights' sum + bias: of sums[rows * wide] in registers, whole panels. */
static inline __attribute__((always_inline)) TARGET void KERNEL(finish_tile)(const struct KERNEL(tile) *tile, const ints *sums,
									     const size_t rows, const size_t wide, const bool add)
{
	const struct int8_product *p = tile->finish;
	const struct int8_matrix *m = p->matrix;
	const float *row_scale = p->rows->scale + tile->row, *row_offset = p->rows->offset + tile->row;
	float *y = p->y + tile->row * p->stride + tile->panel * INT8_PANEL;

#pragma GCC unroll 4
	for (size_t v = 0; v < wide; v++) {
		const size_t at = tile->panel * INT8_PANEL + v * LANES;
		const floats scale = FLOATS_LOAD(m->scale + at), sum = FLOATS_LOAD(m->sum + at), bias = FLOATS_LOAD(m->bias + at);
#pragma GCC unroll 8
		for (size_t r = 0; r < rows; r++) {
			floats value = FLOATS_OF(sums[r * wide + v]) * scale;
			value = FLOATS_SPLAT(row_scale[r]) * value + (FLOATS_SPLAT(row_offset[r]) * sum + bias);
			if (add)
				value += FLOATS_LOAD(y + r * p->stride + v * LANES);
			FLOATS_STORE(y + r * p->stride + v * LANES, value);
		}
	}
}

/* The same for one row and panel, from memory. */
static inline TARGET void KERNEL(finish)(const struct int8_product *p, size_t t, size_t panel, const int32_t *sums)
{
	const struct int8_matrix *m = p->matrix;
	size_t from = panel * INT8_PANEL, count = m->out - from < INT8_PANEL ? m->out - from : INT8_PANEL;
	floats scale = FLOATS_SPLAT(p->rows->scale[t]), offset = FLOATS_SPLAT(p->rows->offset[t]);
	float *y = p->y + t * p->stride + from, part[INT8_PANEL];
	float *to = count < INT8_PANEL ? part : y;

	if (count < INT8_PANEL && p->add)
		memcpy(part, y, count * sizeof *part);
	for (size_t v = 0; v < INT8_PANEL; v += LANES) {
		floats value = FLOATS_OF(INTS_LOAD(sums + v)) * FLOATS_LOAD(m->scale + from + v);
		value = scale * value + (offset * FLOATS_LOAD(m->sum + from + v) + FLOATS_LOAD(m->bias + from + v));
		if (p->add)
			value += FLOATS_LOAD(to + v);
		FLOATS_STORE(to + v, value);
	}
	if (count < INT8_PANEL)
		memcpy(y, part, count * sizeof *part);
}

/* Adds the products of a tile to its sums, which wait in memory so that the parts of a group can have all registers. */
static inline __attribute__((always_inline)) TARGET void KERNEL(accumulate)(const struct KERNEL(tile) *tile, const size_t rows,
									    const size_t panels)
{
	const size_t wide = panels * KERNEL(VECTORS), stride = tile->code_stride, apart = tile->panel_stride, most = tile->group;
	const uint8_t *codes = tile->codes;
	const int8_t *weights = tile->weights;
	int32_t *sums = tile->sums;

	for (size_t left = tile->depth, group; left > 0; left -= group) {
		ints parts[ROWS * PANELS * KERNEL(VECTORS)];
		group = left < most ? left : most;
#pragma GCC unroll 32
		for (size_t i = 0; i < rows * wide; i++)
			parts[i] = GROUP_START(sums + i / wide * KERNEL(WIDE) + i % wide * LANES, tile->first);
		for (const uint8_t *end = codes + group; codes < end; codes += INT8_STEP, weights += INT8_STEP * INT8_PANEL)
#pragma GCC unroll 2
			for (size_t half = 0; half < 2; half++)
#pragma GCC unroll 8
				for (size_t r = 0; r < rows; r++) {
					const ints x = INTS_SPLAT(codes + r * stride + half * 4);
#pragma GCC unroll 4
					for (size_t v = 0; v < wide; v++) {
						const int8_t *w = weights + v / KERNEL(VECTORS) * apart + v % KERNEL(VECTORS) * LANES * 4;
						parts[r * wide + v] = GROUP_ADD(parts[r * wide + v], x, INTS_LOAD(w + half * 4 * INT8_PANEL));
					}
				}
		if (WHOLE && tile->finish) {
			if (tile->finish->add)
				KERNEL(finish_tile)(tile, parts, rows, wide, true);
			else
				KERNEL(finish_tile)(tile, parts, rows, wide, false);
			return;
		}
#pragma GCC unroll 32
		for (size_t i = 0; i < rows * wide; i++)
			GROUP_END(sums + i / wide * KERNEL(WIDE) + i % wide * LANES, parts[i]);
	}
}

/* Functions of their own: together they would have too few registers. */
static __attribute__((noinline)) TARGET void KERNEL(full_tile)(const struct KERNEL(tile) *tile)
{
	KERNEL(accumulate)(tile, ROWS, PANELS);
}

static __attribute__((noinline)) TARGET void KERNEL(four_rows)(const struct KERNEL(tile) *tile)
{
	KERNEL(accumulate)(tile, 4, 1);
}

static __attribute__((noinline)) TARGET void KERNEL(one_row)(const struct KERNEL(tile) *tile)
{
	KERNEL(accumulate)(tile, 1, 1);
}

/* A full tile, or what is left over at an edge. */
static TARGET void KERNEL(any_tile)(const struct KERNEL(tile) *whole, size_t rows, size_t panels)
{
	if (rows == ROWS && panels == PANELS) {
		KERNEL(full_tile)(whole);
		return;
	}
	struct KERNEL(tile) tile = *whole;
	for (size_t i = 0; i < panels; i++, tile.weights += tile.panel_stride, tile.sums += INT8_PANEL, tile.panel++) {
		struct KERNEL(tile) part = tile;
		size_t r = 0;
		for (; r + 4 <= rows; r += 4, part.row += 4, part.codes += 4 * part.code_stride, part.sums += 4 * KERNEL(WIDE))
			KERNEL(four_rows)(&part);
		for (; r < rows; r++, part.row++, part.codes += part.code_stride, part.sums += KERNEL(WIDE))
			KERNEL(one_row)(&part);
	}
}
