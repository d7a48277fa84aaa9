/* memory.c: see memory.h. */
#include "schema/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/banned.h"

enum { ALIGNMENT = 64 };

size_t mem_product(size_t a, size_t b)
{
	size_t product;
	return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

void *mem_array(size_t n, size_t size)
{
	size_t bytes = mem_product(n, size);
	if (bytes > PTRDIFF_MAX)
		return NULL;
	return calloc(1, bytes ? bytes : 1);
}

void *mem_resize(void *old, size_t n, size_t size)
{
	size_t bytes = mem_product(n, size);
	if (bytes > PTRDIFF_MAX)
		return NULL;
	return realloc(old, bytes ? bytes : 1);
}

bool mem_grow(void *array, size_t *room, size_t need, size_t size)
{
	size_t larger = *room ? *room : 16;
	void *items;

	if (need <= *room)
		return true;
	while (larger < need)
		larger = mem_product(larger, 2);
	memcpy(&items, array, sizeof items);
	items = mem_resize(items, larger, size);
	if (!items)
		return false;
	memcpy(array, &items, sizeof items);
	*room = larger;
	return true;
}

float *mem_floats(size_t n)
{
	size_t bytes = mem_product(n, sizeof(float));
	if (bytes > PTRDIFF_MAX - ALIGNMENT)
		return NULL;
	bytes = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
	return aligned_alloc(ALIGNMENT, bytes);
}

char *mem_copy(const void *bytes, size_t size)
{
	char *copy = size < PTRDIFF_MAX ? malloc(size + 1) : NULL;
	if (!copy)
		return NULL;
	if (size)
		memcpy(copy, bytes, size);
	copy[size] = '\0';
	return copy;
}

/* Room for extra bytes and a NUL. */
static bool reserve(struct buffer *b, size_t extra)
{
	if (b->failed)
		return false;
	if (extra < b->capacity - b->size)
		return true;
	size_t capacity = b->capacity ? b->capacity : 256;
	while (capacity <= PTRDIFF_MAX / 2 && capacity - b->size <= extra)
		capacity *= 2;
	char *data = capacity - b->size > extra ? realloc(b->data, capacity) : NULL;
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->capacity = capacity;
	return true;
}

void buffer_append(struct buffer *b, const void *bytes, size_t size)
{
	if (!reserve(b, size))
		return;
	if (size)
		memcpy(b->data + b->size, bytes, size);
	b->size += size;
	b->data[b->size] = '\0';
}

void buffer_text(struct buffer *b, const char *text)
{
	buffer_append(b, text, strlen(text));
}

void buffer_format(struct buffer *b, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n >= 0 && reserve(b, (size_t)n)) {
		vsnprintf(b->data + b->size, (size_t)n + 1, format, again);
		b->size += (size_t)n;
	} else {
		b->failed = true;
	}
	va_end(again);
}

void buffer_release(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){0};
}
