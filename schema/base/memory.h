/* memory.h: allocation with checked multiplication, and a byte buffer that grows.
 *
 *     float *x = mem_floats(mem_product(batch, width));
 *     if (!x) { status = err_memory(err, "activations"); goto out; }
 *     ...
 *     free(x);
 *
 * Everything here is freed with free(); NULL means out of memory or a product that overflows.
 */
#ifndef SCHEMA_BASE_MEMORY_H
#define SCHEMA_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* a * b, or SIZE_MAX if that overflows: no allocation of SIZE_MAX succeeds. Nests. */
size_t mem_product(size_t a, size_t b);

/* n objects of size bytes, zeroed; n = 0 yields a valid pointer. */
void *mem_array(size_t n, size_t size);

/* realloc to n objects of size bytes; what is new is not zeroed. The old block stays valid on failure. */
void *mem_resize(void *old, size_t n, size_t size);

/* Room for `need` objects of size bytes in an array that grows by doubling: array is the address of its pointer, *room how many it has
 * room for; what is new is not zeroed. false, with nothing changed: out of memory.
 *
 *     if (!mem_grow(&list->items, &list->room, list->count + 1, sizeof *list->items)) return err_memory(err, "items");
 *     list->items[list->count++] = item;
 */
bool mem_grow(void *array, size_t *room, size_t need, size_t size);

/* n floats, aligned to 64 bytes, not zeroed. */
float *mem_floats(size_t n);

/* A copy of size bytes with a NUL behind them (not counted). */
char *mem_copy(const void *bytes, size_t size);

/* A growing array of bytes; data is NUL-terminated as soon as something was appended. */
struct buffer {
	char *data;
	size_t size, capacity;
	bool failed; /* an append ran out of memory: it and later ones did nothing */
};

void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_release(struct buffer *buffer); /* frees data; the buffer is empty and usable again */

#endif
