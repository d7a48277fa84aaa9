/* int16.h: matrix products of 16-bit rows with an 8-bit matrix, exact in 32-bit integers: twice as many multiplications an instruction as
 * in fp32, and a row of floats loses less than fp32's own sums do.
 *
 *     int8_t *panels = carve(&carver, int16_panels_size(K, columns), 1);
 *     int16_pack(b, K, columns, stride, panels);                     // once
 *     scale = int16_row(x, K, a);                                    // x = scale * a
 *     int16_product(a, rows, K, panels, columns, scratch, y);        // y[rows,columns] = a b
 *
 * A panel holds 16 columns, pairs of b's rows side by side, as the multiplication instruction takes them: [K/2][16][2] bytes.
 *
 * Letters: K the inner size, P columns rounded up to 16.
 */
#ifndef MODEL_MATH_INT16_H
#define MODEL_MATH_INT16_H

#include <stddef.h>
#include <stdint.h>

enum { INT16_COLUMNS = 16 };

/* K as rows of a are long: rounded up to 16, zero beyond K. */
size_t int16_inner(size_t K);
/* columns as rows of y are long: rounded up to 16; what is beyond columns is 0. */
size_t int16_columns(size_t columns);

/* Bytes. */
size_t int16_panels_size(size_t K, size_t columns);
/* Element (k,c) of b is bytes[k * k_stride + c * c_stride]. */
void int16_pack(const int8_t *bytes, size_t K, size_t columns, size_t k_stride, size_t c_stride, int8_t *panels);

/* a[int16_inner(K)] = rint(x / scale), as large as no sum of K products with bytes can overflow; returns scale. NaN or an infinity in
 * x: a NaN. */
float int16_row(const float *x, size_t K, int16_t *a);

/* int16 of scratch for int16_product. */
size_t int16_scratch(size_t K);
/* a[rows,int16_inner(K)], y[rows,int16_columns(columns)] */
void int16_product(const int16_t *a, size_t rows, size_t K, const int8_t *panels, size_t columns, int16_t *scratch, int32_t *y);

/* The plain twin, of b as it is packed from. */
void int16_plain(const int16_t *a, size_t rows, size_t K, const int8_t *bytes, size_t columns, size_t k_stride, size_t c_stride,
		 int32_t *y);

#endif
